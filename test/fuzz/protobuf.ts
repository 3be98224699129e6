import type { Field, FieldFormat } from "./mutate-tree.ts";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
const MAX_DEPTH = 6;

/** Protobuf's wire format: a tag of field number and wire type; a length-delimited value may hold a message. */
export const protobuf: FieldFormat = {
  parse: (bytes) => parse(bytes, 0),
  format: formatMessage,
};

/** A length-delimited field, written by number; fields inside it are a message. */
export function field(number: number, value: string | Uint8Array | Field[]): Field {
  return { head: (number << 3) | LENGTH, value: Array.isArray(value) ? value : Buffer.from(value as Uint8Array) };
}

/** An integer field. */
export function integer(number: number, value: number): Field {
  return { head: (number << 3) | VARINT, value: varint(value) };
}

export function formatMessage(fields: readonly Field[], lie: (length: number) => number = (length) => length): Buffer {
  const parts = fields.flatMap(({ head, value }) => {
    const content = Buffer.isBuffer(value) ? value : formatMessage(value, lie);
    const length = (head & 7) === LENGTH ? [varint(lie(content.length))] : [];
    return [varint(head), ...length, content];
  });
  return Buffer.concat(parts);
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}

function parse(bytes: Buffer, depth: number): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at);
    if (tag === undefined || tag.value >= 2 ** 31) return undefined;
    const content = contentAt(bytes, tag.next, tag.value & 7);
    if (content === undefined) return undefined;
    const value = bytes.subarray(content.start, content.end);
    const isMessage = (tag.value & 7) === LENGTH && value.length > 1 && depth < MAX_DEPTH;
    fields.push({ head: tag.value, value: (isMessage ? parse(value, depth + 1) : undefined) ?? value });
    at = content.end;
  }
  return fields;
}

function contentAt(bytes: Buffer, at: number, wireType: number): { start: number; end: number } | undefined {
  const fixed = { [FIXED64]: 8, [FIXED32]: 4 }[wireType];
  const number = readVarint(bytes, at);
  const found =
    fixed !== undefined
      ? { start: at, end: at + fixed }
      : wireType === VARINT && number !== undefined
        ? { start: at, end: number.next }
        : wireType === LENGTH && number !== undefined
          ? { start: number.next, end: number.next + number.value }
          : undefined;
  return found !== undefined && found.end <= bytes.length ? found : undefined;
}

function readVarint(bytes: Buffer, at: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let index = 0; index < 10; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return { value, next: at + index + 1 };
  }
  return undefined;
}
