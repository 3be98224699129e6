import { isUtf8 } from "node:buffer";
import { z } from "zod";
import { SignetError } from "../errors.ts";
import { decodeBytesElements, encodeBytesElements } from "./bytes-elements.ts";
import { type Datatype, datatypes, isDatatype } from "./datatype.ts";
import { elementCount, type Tensor } from "./tensor.ts";

/** The form of a tensor in JSON; whether its elements fit its datatype and shape is for tensorFromJson to say. */
export const jsonTensorSchema = z.object({
  name: z.string(),
  datatype: z.string(),
  shape: z.array(z.int()),
  data: z.array(z.unknown()).optional(),
  base64: z.string().optional(),
});

/**
 * A tensor as JSON, as the v2 protocol's REST form writes it: elements in row-major order, BOOL as true and
 * false, 64-bit integers as numbers, bigints or decimal strings, BYTES as text. What JSON has no number for is a string:
 * NaN, Infinity and -Infinity. FP16, BF16 and BYTES that are no text have no JSON form and travel as `base64` of their
 * raw bytes, as any datatype may.
 */
export interface JsonTensor extends Readonly<Omit<z.infer<typeof jsonTensorSchema>, "shape">> {
  readonly shape: readonly number[];
}

type Writer = (view: DataView, offset: number, value: unknown) => void;
type Reader = (view: DataView, offset: number) => unknown;

const writers: Partial<Record<Datatype, Writer>> = {
  BOOL: (view, at, value) => view.setUint8(at, truth(value)),
  UINT8: (view, at, value) => view.setUint8(at, integer(value, 0, 0xff)),
  UINT16: (view, at, value) => view.setUint16(at, integer(value, 0, 0xffff), true),
  UINT32: (view, at, value) => view.setUint32(at, integer(value, 0, 0xffffffff), true),
  UINT64: (view, at, value) => view.setBigUint64(at, big(value, 0n, 2n ** 64n - 1n), true),
  INT8: (view, at, value) => view.setInt8(at, integer(value, -0x80, 0x7f)),
  INT16: (view, at, value) => view.setInt16(at, integer(value, -0x8000, 0x7fff), true),
  INT32: (view, at, value) => view.setInt32(at, integer(value, -0x80000000, 0x7fffffff), true),
  INT64: (view, at, value) => view.setBigInt64(at, big(value, -(2n ** 63n), 2n ** 63n - 1n), true),
  FP32: (view, at, value) => view.setFloat32(at, number(value), true),
  FP64: (view, at, value) => view.setFloat64(at, number(value), true),
};

const readers: Partial<Record<Datatype, Reader>> = {
  BOOL: (view, at) => view.getUint8(at) !== 0,
  UINT8: (view, at) => view.getUint8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  UINT64: (view, at) => exact(view.getBigUint64(at, true)),
  INT8: (view, at) => view.getInt8(at),
  INT16: (view, at) => view.getInt16(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  INT64: (view, at) => exact(view.getBigInt64(at, true)),
  FP32: (view, at) => numberOrName(view.getFloat32(at, true)),
  FP64: (view, at) => numberOrName(view.getFloat64(at, true)),
};

/** @throws REQUEST_MALFORMED */
export function tensorFromJson({ name, datatype, shape, data, base64 }: JsonTensor): Tensor {
  const malformed = (what: string) => new SignetError("REQUEST_MALFORMED", `tensor ${JSON.stringify(name)}: ${what}`);
  if (!isDatatype(datatype)) throw malformed(`expected a datatype of the protocol, found ${JSON.stringify(datatype)}`);
  if (base64 !== undefined) return { name, datatype, shape, data: Buffer.from(base64, "base64") };
  const elements = (data ?? []).flat(8);
  if (elements.length !== elementCount(shape)) {
    throw malformed(`shape [${shape}] takes ${elementCount(shape)} elements, found ${elements.length}`);
  }
  if (datatype === "BYTES") {
    const wrong = elements.findIndex((element) => typeof element !== "string" && typeof element !== "number");
    if (wrong !== -1) throw malformed(`element ${wrong}: expected text`);
    return { name, datatype, shape, data: encodeBytesElements(elements.map((text) => Buffer.from(String(text)))) };
  }
  const write = writers[datatype];
  const size = datatypes[datatype].bytes;
  if (!write || size === null) throw malformed(`${datatype} has no JSON form; give its raw bytes as base64`);
  const bytes = new Uint8Array(elements.length * size);
  const view = new DataView(bytes.buffer);
  for (const [index, element] of elements.entries()) {
    try {
      write(view, index * size, element);
    } catch {
      throw malformed(`element ${index}: expected ${datatype}, found ${describe(element)}`);
    }
  }
  return { name, datatype, shape, data: bytes };
}

/** The JSON form of a tensor whose bytes fit its shape. */
export function tensorToJson({ name, datatype, shape, data }: Tensor): JsonTensor {
  const read = readers[datatype];
  const size = datatypes[datatype].bytes;
  if (datatype === "BYTES") {
    const texts = decodeBytesElements(data);
    if (texts.every(isUtf8)) return { name, datatype, shape, data: texts.map((text) => Buffer.from(text).toString()) };
  }
  if (!read || size === null) return { name, datatype, shape, base64: Buffer.from(data).toString("base64") };
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const count = Math.floor(data.byteLength / size);
  return { name, datatype, shape, data: Array.from({ length: count }, (_, index) => read(view, index * size)) };
}

function number(value: unknown): number {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  const named = ["NaN", "Infinity", "-Infinity"].find((name) => name === value);
  if (named === undefined) throw new TypeError();
  return Number(named);
}

function truth(value: unknown): number {
  if (value === true || value === 1) return 1;
  if (value === false || value === 0) return 0;
  throw new TypeError();
}

function integer(value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) throw new TypeError();
  return value as number;
}

function big(value: unknown, min: bigint, max: bigint): bigint {
  // A larger number was rounded before it came here; text and bigint have all their digits.
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError();
  if (typeof value === "string" && !/^-?\d{1,20}$/.test(value)) throw new TypeError();
  const parsed = BigInt(value as string | number | bigint);
  if (parsed < min || parsed > max) throw new TypeError();
  return parsed;
}

/** A number where that is exact, else a decimal string. */
function exact(value: bigint): number | string {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value.toString();
}

/** As JSON can have it: its numbers are finite. */
function numberOrName(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

function describe(element: unknown): string {
  // Integers that a double cannot hold may be inside it too.
  const text = JSON.stringify(element, (_key, value) => (typeof value === "bigint" ? value.toString() : value));
  return text.slice(0, 100);
}
