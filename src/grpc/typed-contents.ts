import { SignetError } from "../errors.ts";
import { type Datatype, encodeBytesElements } from "../tensor/index.ts";
import type { InferContentsMessage } from "./messages.ts";

type Contents = Partial<InferContentsMessage> | null | undefined;
type Field = keyof InferContentsMessage;

/** Where the protocol puts the elements of a datatype; FP16 and BF16 exist only as raw bytes. */
const fieldByDatatype: Readonly<Record<Datatype, Field | null>> = {
  BOOL: "bool_contents",
  INT8: "int_contents",
  INT16: "int_contents",
  INT32: "int_contents",
  INT64: "int64_contents",
  UINT8: "uint_contents",
  UINT16: "uint_contents",
  UINT32: "uint_contents",
  UINT64: "uint64_contents",
  FP32: "fp32_contents",
  FP64: "fp64_contents",
  BYTES: "bytes_contents",
  FP16: null,
  BF16: null,
};

const fields = [...new Set(Object.values(fieldByDatatype))].filter((field) => field !== null);

/** Whether any element is there; a client may send an empty contents message beside raw contents. */
export function hasContents(contents: Contents): boolean {
  return contents != null && fields.some((field) => isFilled(contents, field));
}

/** The tensor's data from its typed elements. @throws REQUEST_MALFORMED */
export function tensorDataFromContents(where: string, datatype: Datatype, contents: Contents): Uint8Array {
  if (contents == null) return new Uint8Array(0);
  const expected = fieldByDatatype[datatype];
  const other = fields.find((field) => field !== expected && isFilled(contents, field));
  if (other !== undefined) {
    throw malformed(`${where}: expected ${datatype} in ${expected ?? "raw_input_contents"}, found ${other}`);
  }
  switch (datatype) {
    case "BOOL":
      return Uint8Array.from(contents.bool_contents ?? [], Number);
    case "INT8":
      return viewOf(Int8Array.from(inRange(where, datatype, contents.int_contents, -128, 127)));
    case "INT16":
      return viewOf(Int16Array.from(inRange(where, datatype, contents.int_contents, -32_768, 32_767)));
    case "INT32":
      return viewOf(Int32Array.from(contents.int_contents ?? []));
    case "UINT8":
      return Uint8Array.from(inRange(where, datatype, contents.uint_contents, 0, 255));
    case "UINT16":
      return viewOf(Uint16Array.from(inRange(where, datatype, contents.uint_contents, 0, 65_535)));
    case "UINT32":
      return viewOf(Uint32Array.from(contents.uint_contents ?? []));
    case "INT64":
      return viewOf(BigInt64Array.from(contents.int64_contents ?? [], BigInt));
    case "UINT64":
      return viewOf(BigUint64Array.from(contents.uint64_contents ?? [], BigInt));
    case "FP32":
      return viewOf(Float32Array.from(contents.fp32_contents ?? []));
    case "FP64":
      return viewOf(Float64Array.from(contents.fp64_contents ?? []));
    case "BYTES":
      return encodeBytesElements(contents.bytes_contents ?? []);
    case "FP16":
    case "BF16":
      return new Uint8Array(0);
  }
}

function isFilled(contents: NonNullable<Contents>, field: Field): boolean {
  return (contents[field]?.length ?? 0) > 0;
}

/** Elements travel as 32-bit integers; one that does not fit must not be cut to a different number. */
function inRange(where: string, datatype: Datatype, elements: number[] = [], least: number, most: number): number[] {
  const wrong = elements.find((element) => element < least || element > most);
  if (wrong !== undefined)
    throw malformed(`${where}: expected ${datatype} elements from ${least} to ${most}, found ${wrong}`);
  return elements;
}

/** Typed arrays have the byte order of the machine, and every machine Signet runs on is little-endian. */
function viewOf(elements: ArrayBufferView): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
