import { SignetError } from "../errors.ts";

/**
 * Protobuf lets two bytes on the wire become an object of a hundred, so that a message well inside the size
 * limit could fill the memory while it is decoded: 64 MiB of empty inputs, or of INT64 zeros. This walk over
 * the bytes counts what decoding would make, allocates nothing, and refuses before anything is made.
 */

/** Inputs, outputs, parameters, dimensions and raw entries of one request, together. */
export const MAX_PARTS = 4096;
/** Elements of typed contents of one request; 64-bit integers and byte strings, being objects, count eightfold. */
export const MAX_TYPED_WEIGHT = 4 * 1024 * 1024;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** How a field's occurrences count; `fields` describes what is inside a message field. */
type Rule =
  | { readonly counts: "part"; readonly inside?: Rules }
  | { readonly counts: "parts"; readonly packed: typeof VARINT }
  | { readonly counts: "elements"; readonly weight: number; readonly packed?: number };
type Rules = Readonly<Record<number, Rule>>;

// Field numbers as in proto/inference.proto.
const contentsRules: Rules = {
  1: { counts: "elements", weight: 1, packed: VARINT },
  2: { counts: "elements", weight: 1, packed: VARINT },
  3: { counts: "elements", weight: 8, packed: VARINT },
  4: { counts: "elements", weight: 1, packed: VARINT },
  5: { counts: "elements", weight: 8, packed: VARINT },
  6: { counts: "elements", weight: 1, packed: FIXED32 },
  7: { counts: "elements", weight: 1, packed: FIXED64 },
  8: { counts: "elements", weight: 8 },
};
const inputRules: Rules = {
  3: { counts: "parts", packed: VARINT },
  4: { counts: "part" },
  5: { counts: "part", inside: contentsRules },
};
const outputRules: Rules = { 2: { counts: "part" } };
const requestRules: Rules = {
  4: { counts: "part" },
  5: { counts: "part", inside: inputRules },
  6: { counts: "part", inside: outputRules },
  7: { counts: "part" },
};

const jobRules: Rules = {
  1: { counts: "part", inside: requestRules },
  2: { counts: "part", inside: { 4: { counts: "parts", packed: VARINT } } },
  5: { counts: "part" },
};

interface Tally {
  parts: number;
  weight: number;
  readonly maxParts: number;
}

/** @throws REQUEST_MALFORMED where the bytes are not protobuf or have too many parts, REQUEST_TOO_LARGE for too many typed elements */
export function verifyInferRequestBytes(bytes: Uint8Array): void {
  walk(bytes, 0, bytes.length, requestRules, { parts: 0, weight: 0, maxParts: MAX_PARTS });
}

/**
 * The same for the bytes of a DoJobsRequest. All of its jobs together may have as many typed elements as one request.
 * @returns how many parts it has
 * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE
 */
export function verifyDoJobsBytes(bytes: Uint8Array): number {
  const tally = { parts: 0, weight: 0, maxParts: MAX_PARTS * 8 };
  walk(bytes, 0, bytes.length, { 1: { counts: "part", inside: jobRules } }, tally);
  return tally.parts;
}

function walk(bytes: Uint8Array, start: number, end: number, rules: Rules, tally: Tally): void {
  let offset = start;
  while (offset < end) {
    const tag = readVarint32(bytes, offset, end);
    offset = skipVarint(bytes, offset, end);
    const wireType = tag & 7;
    const field = tag >>> 3;
    let length = 0;
    if (wireType === LENGTH) {
      length = readVarint32(bytes, offset, end);
      offset = skipVarint(bytes, offset, end);
    } else if (wireType === VARINT) length = skipVarint(bytes, offset, end) - offset;
    else if (wireType === FIXED64) length = 8;
    else if (wireType === FIXED32) length = 4;
    else throw malformed(`wire type ${wireType}`); // groups: proto3 has none, and they nest without a length
    const next = offset + length;
    if (field === 0 || next > end)
      throw malformed(field === 0 ? "field number 0" : "a field that overruns its message");
    const rule = rules[field];
    if (rule !== undefined) {
      count(bytes, offset, next, wireType, rule, tally);
      if ("inside" in rule && rule.inside !== undefined && wireType === LENGTH)
        walk(bytes, offset, next, rule.inside, tally);
    }
    offset = next;
  }
}

function count(bytes: Uint8Array, start: number, end: number, wireType: number, rule: Rule, tally: Tally): void {
  const isPacked = wireType === LENGTH && "packed" in rule && rule.packed !== undefined;
  if (rule.counts === "elements") {
    tally.weight += rule.weight * (isPacked ? packedCount(bytes, start, end, rule.packed) : 1);
    if (tally.weight > MAX_TYPED_WEIGHT) {
      throw new SignetError(
        "REQUEST_TOO_LARGE",
        `contents: expected at most ${MAX_TYPED_WEIGHT} elements (a 64-bit integer or byte string counts as 8), found more; send raw_input_contents`,
      );
    }
    return;
  }
  tally.parts += isPacked ? packedCount(bytes, start, end, VARINT) : 1;
  if (tally.parts > tally.maxParts) {
    throw new SignetError(
      "REQUEST_MALFORMED",
      `expected at most ${tally.maxParts} inputs, outputs, parameters and dimensions together, found more`,
    );
  }
}

function packedCount(bytes: Uint8Array, start: number, end: number, packed: number | undefined): number {
  if (packed === FIXED32) return (end - start) / 4;
  if (packed === FIXED64) return (end - start) / 8;
  let elements = 0;
  for (let offset = start; offset < end; offset++) if (bytes[offset]! < 0x80) elements += 1;
  return elements;
}

/** The lower 32 bits of the varint at offset, unsigned. */
function readVarint32(bytes: Uint8Array, offset: number, end: number): number {
  let value = 0;
  for (let index = 0; index < 5 && offset + index < end; index++) {
    const byte = bytes[offset + index]!;
    value |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) break;
  }
  return value >>> 0;
}

/** The offset after the varint at offset. */
function skipVarint(bytes: Uint8Array, offset: number, end: number): number {
  for (let index = offset; index < end && index < offset + 10; index++) if (bytes[index]! < 0x80) return index + 1;
  throw malformed("an integer without an end");
}

function malformed(found: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", `expected a ModelInferRequest, found ${found}`);
}
