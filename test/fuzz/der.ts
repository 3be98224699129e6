import type { Field, FieldFormat } from "./mutate-tree.ts";

const CONSTRUCTED = 0x20;
const MAX_DEPTH = 12;

/** DER (X.690): a tag of one byte, a length, a value; a constructed value holds others. */
export const der: FieldFormat = {
  parse: (bytes) => parse(bytes, 0),
  format: formatDer,
};

export function formatDer(fields: readonly Field[], lie: (length: number) => number = (length) => length): Buffer {
  const parts = fields.flatMap(({ head, value }) => {
    const content = Buffer.isBuffer(value) ? value : formatDer(value, lie);
    return [Buffer.from([head & 0xff]), lengthBytes(lie(content.length)), content];
  });
  return Buffer.concat(parts);
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  if (length < 0x10000) return Buffer.from([0x82, length >> 8, length & 0xff]);
  return Buffer.from([0x84, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff]);
}

function parse(bytes: Buffer, depth: number): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = bytes[at]!;
    const first = bytes[at + 1];
    if (first === undefined) return undefined;
    const lengthSize = first < 0x80 ? 0 : first & 0x7f;
    if (lengthSize > 4 || at + 2 + lengthSize > bytes.length) return undefined;
    const length = lengthSize === 0 ? first & 0x7f : bytes.readUIntBE(at + 2, lengthSize);
    const start = at + 2 + lengthSize;
    if (start + length > bytes.length) return undefined;
    const value = bytes.subarray(start, start + length);
    const inside = (head & CONSTRUCTED) !== 0 && depth < MAX_DEPTH ? parse(value, depth + 1) : undefined;
    fields.push({ head, value: inside ?? value });
    at = start + length;
  }
  return fields;
}
