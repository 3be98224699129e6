import { MAX_RANK } from "../tensor/index.ts";
import type {
  InferInputMessage,
  InferRequestedOutputMessage,
  InferRequestMessage,
  InferResponseMessage,
  StreamInferResponseMessage,
} from "./messages.ts";
import { noParameters } from "./parameters.ts";

/**
 * The messages of ModelInfer and ModelStreamInfer in the form that nearly all clients send and get: raw contents, no parameters. Whatever
 * is otherwise is left to protobufjs, which is slower and knows everything; so this decoder may say "not mine" to any
 * bytes at all, and where it does not, it says what protobufjs would. A test compares them.
 *
 * Field numbers as in proto/inference.proto; the encoding is that of protobuf.dev/programming-guides/encoding.
 */

const LENGTH = 2;
/** Parts of a request, beyond which the careful path decides whether there are too many. */
const MAX_FAST_PARTS = 256;

/** Where the reader is; one for all, since decoding is one piece without a break. */
let at = 0;

/** The request, or null where it is not mine: unusual, or no request at all. Raw contents are views of the bytes. */
export function decodePlainRequest(bytes: Buffer): InferRequestMessage | null {
  let modelName = "";
  let modelVersion = "";
  let id = "";
  const inputs: InferInputMessage[] = [];
  const outputs: InferRequestedOutputMessage[] = [];
  const raw: Uint8Array[] = [];
  let parts = 0;
  at = 0;
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    if ((tag & 7) !== LENGTH) return null;
    const length = readLength(bytes, bytes.length);
    if (length < 0) return null;
    const end = at + length;
    if (++parts > MAX_FAST_PARTS) return null;
    switch (tag >>> 3) {
      case 1:
      case 2:
      case 3: {
        const text = readText(bytes, end);
        if (text === null) return null;
        if (tag >>> 3 === 1) modelName = text;
        else if (tag >>> 3 === 2) modelVersion = text;
        else id = text;
        break;
      }
      case 5: {
        const input = readInput(bytes, end);
        if (input === null) return null;
        inputs.push(input);
        break;
      }
      case 6: {
        const output = readOutput(bytes, end);
        if (output === null) return null;
        outputs.push(output);
        break;
      }
      case 7:
        raw.push(bytes.subarray(at, end));
        at = end;
        break;
      default:
        return null;
    }
  }
  return {
    model_name: modelName,
    model_version: modelVersion,
    id,
    parameters: noParameters,
    inputs,
    outputs,
    raw_input_contents: raw,
  };
}

function readInput(bytes: Buffer, end: number): InferInputMessage | null {
  let name = "";
  let datatype = "";
  const shape: number[] = [];
  while (at < end) {
    const tag = bytes[at++]!;
    if (tag === 0x18) {
      if (!readSize(bytes, end, shape)) return null;
      continue;
    }
    if ((tag & 7) !== LENGTH) return null;
    const length = readLength(bytes, end);
    if (length < 0) return null;
    const fieldEnd = at + length;
    if (tag === 0x0a || tag === 0x12) {
      const text = readText(bytes, fieldEnd);
      if (text === null) return null;
      if (tag === 0x0a) name = text;
      else datatype = text;
    } else if (tag === 0x1a) {
      while (at < fieldEnd) if (!readSize(bytes, fieldEnd, shape)) return null;
    } else {
      return null; // parameters, typed contents, or something new
    }
  }
  return { name, datatype, shape, parameters: noParameters };
}

function readOutput(bytes: Buffer, end: number): InferRequestedOutputMessage | null {
  let name = "";
  while (at < end) {
    if (bytes[at++] !== 0x0a) return null;
    const length = readLength(bytes, end);
    if (length < 0) return null;
    const text = readText(bytes, at + length);
    if (text === null) return null;
    name = text;
  }
  return { name, parameters: noParameters };
}

/** The length of what follows, all of it before `end`; -1 where it is not so. */
function readLength(bytes: Buffer, end: number): number {
  const length = readVarint(bytes, end);
  return length >= 0 && length <= end - at ? length : -1;
}

/** A dimension: 0 to 2^31-1, which is every one that a tensor of a message can have. */
function readSize(bytes: Buffer, end: number, shape: number[]): boolean {
  const size = readVarint(bytes, end);
  if (size < 0 || shape.length === MAX_RANK) return false;
  shape.push(size);
  return true;
}

/** A number below 2^31; -1 for any other, and for one that does not end in time. */
function readVarint(bytes: Buffer, end: number): number {
  let value = 0;
  for (let shift = 0; shift < 35 && at < end; shift += 7) {
    const byte = bytes[at++]!;
    if (shift === 28 && byte > 0x07) return -1;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return -1;
}

/** ASCII; null for what is not, whose rules protobufjs knows. */
function readText(bytes: Buffer, end: number): string | null {
  for (let index = at; index < end; index++) if (bytes[index]! >= 0x80) return null;
  const text = bytes.toString("latin1", at, end);
  at = end;
  return text;
}

/**
 * The response in pieces, one after the other on the wire; raw contents are not copied. Null where it has parameters
 * of outputs, which protobufjs writes.
 */
export function encodePlainResponse(response: InferResponseMessage): Buffer[] | null {
  return isPlain(response) ? encode(response, false) : null;
}

/** The parameters of a stream's answer that is no error: each is the last of its request. */
export const finalResponse = Object.freeze({ triton_final_response: Object.freeze({ bool_param: true }) });
/** The same as a field of a response: an entry of a map, whose value has its bool_param set. */
const finalResponseField = Buffer.from("\x22\x1b\x0a\x15triton_final_response\x12\x02\x08\x01", "latin1");

/** An answer of a stream in the same way; null where it is an error besides. */
export function encodePlainStreamAnswer(answer: StreamInferResponseMessage): Buffer[] | null {
  const response = answer.infer_response;
  if (answer.error_message !== "" || response.parameters !== finalResponse) return null;
  // Whoever says that a response is final has all of it.
  return isPlain(response as InferResponseMessage) ? encode(response as InferResponseMessage, true) : null;
}

function isPlain({ outputs }: InferResponseMessage): boolean {
  for (const { parameters } of outputs) if (parameters !== undefined) return false;
  return true;
}

/** @param isStreamed whether it is the final response inside an answer of a stream */
function encode(response: InferResponseMessage, isStreamed: boolean): Buffer[] {
  const { model_name, model_version, id, outputs, raw_output_contents: raw } = response;
  const roomBytes = isStreamed ? 1 + MAX_VARINT_BYTES : 0;
  // First what lies before the first raw contents.
  let headBytes = roomBytes + textBytes(model_name) + textBytes(model_version) + textBytes(id);
  if (isStreamed) headBytes += finalResponseField.length;
  for (const output of outputs) headBytes += 1 + MAX_VARINT_BYTES + outputBytes(output);
  const scratch = Buffer.allocUnsafe(headBytes + 1 + MAX_VARINT_BYTES);
  let end = writeText(scratch, roomBytes, 0x0a, model_name);
  end = writeText(scratch, end, 0x12, model_version);
  end = writeText(scratch, end, 0x1a, id);
  if (isStreamed) end += finalResponseField.copy(scratch, end);
  for (const output of outputs) end = writeOutput(scratch, end, output);
  const parts: Buffer[] = [scratch];
  let length = 0;
  for (let index = 0; index < raw.length; index++) {
    const bytes = bufferOf(raw[index]!);
    if (index === 0) {
      end = writeLength(scratch, end, 0x32, bytes.length);
    } else {
      const prefix = Buffer.allocUnsafe(1 + MAX_VARINT_BYTES);
      const prefixBytes = writeLength(prefix, 0, 0x32, bytes.length);
      parts.push(prefix.subarray(0, prefixBytes));
      length += prefixBytes;
    }
    if (bytes.length > 0) parts.push(bytes);
    length += bytes.length;
  }
  length += end - roomBytes;
  const start = isStreamed ? roomBytes - 1 - varintBytes(length) : roomBytes;
  if (isStreamed) writeLength(scratch, start, 0x12, length);
  parts[0] = scratch.subarray(start, end);
  return parts;
}

/** A varint of up to 2^35, and the tag before it. */
const MAX_VARINT_BYTES = 5;

function textBytes(text: string): number {
  return 1 + MAX_VARINT_BYTES + text.length * 3;
}

function outputBytes({ name, datatype, shape }: InferResponseMessage["outputs"][number]): number {
  return textBytes(name) + textBytes(datatype) + 1 + MAX_VARINT_BYTES + shape.length * 10;
}

function writeOutput(target: Buffer, start: number, output: InferResponseMessage["outputs"][number]): number {
  let length = 0;
  if (output.name !== "") length += 1 + lengthPrefixed(Buffer.byteLength(output.name));
  if (output.datatype !== "") length += 1 + lengthPrefixed(Buffer.byteLength(output.datatype));
  let shapeBytes = 0;
  for (const size of output.shape) shapeBytes += varintBytes(Number(size));
  if (shapeBytes > 0) length += 1 + lengthPrefixed(shapeBytes);
  let end = writeLength(target, start, 0x2a, length);
  end = writeText(target, end, 0x0a, output.name);
  end = writeText(target, end, 0x12, output.datatype);
  if (shapeBytes > 0) {
    end = writeLength(target, end, 0x1a, shapeBytes);
    for (const size of output.shape) end = writeVarint(target, end, Number(size));
  }
  return end;
}

function lengthPrefixed(bytes: number): number {
  return varintBytes(bytes) + bytes;
}

/** Nothing where the text is empty, which is the default. */
function writeText(target: Buffer, start: number, tag: number, text: string): number {
  if (text === "") return start;
  const bytes = Buffer.byteLength(text);
  const at = writeLength(target, start, tag, bytes);
  if (bytes === text.length) target.write(text, at, bytes, "latin1");
  else target.write(text, at, bytes, "utf8");
  return at + bytes;
}

function writeLength(target: Buffer, start: number, tag: number, length: number): number {
  target[start] = tag;
  return writeVarint(target, start + 1, length);
}

/** @param value 0 to 2^53-1 */
function writeVarint(target: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    target[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[at++] = rest;
  return at;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
