import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, STATIC_ENTRIES, staticTable } from "./hpack-tables.ts";

/** Names and values by turns. Values are Latin-1; others are not ours to send. */
export type FieldList = readonly string[];

/** Values of these names repeat from answer to answer: they go into the table, where they cost a byte. */
const indexedNames: ReadonlySet<string> = new Set([
  ":status",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-status",
]);
/** Longer values do not go into the table, whatever their name. */
const MAX_INDEXED_VALUE = 64;

const staticNames = new Map<string, number>();
const staticFields = new Map<string, Map<string, number>>();
for (const [index, [name, value]] of staticTable.entries()) {
  if (!staticNames.has(name)) staticNames.set(name, index + 1);
  const values = staticFields.get(name) ?? new Map<string, number>();
  values.set(value, index + 1);
  staticFields.set(name, values);
}

/**
 * Compresses the header blocks of one connection (RFC 7541). The table is filled until it is full, and then stays: what
 * repeats is little and known, and a table without evictions has indices that are never wrong. Strings are not
 * Huffman-coded: in the few that are sent in full, it would save the client bytes and cost us time.
 */
export class HpackEncoder {
  /** Changes whenever a block encoded before would be another one now. */
  version = 0;
  /** By name, then by value: the number of entries that were inserted before. */
  readonly #inserted = new Map<string, Map<string, number>>();
  #entries = 0;
  #bytes = 0;
  #maxBytes = DEFAULT_TABLE_BYTES;
  #mustAnnounce = false;

  /** The client's SETTINGS_HEADER_TABLE_SIZE. What shrinks is emptied, and said so in the next block (section 4.2). */
  limitTable(bytes: number): void {
    const maxBytes = Math.min(bytes, DEFAULT_TABLE_BYTES);
    if (maxBytes === this.#maxBytes) return;
    this.#maxBytes = maxBytes;
    this.#inserted.clear();
    this.#entries = 0;
    this.#bytes = 0;
    this.#mustAnnounce = true;
    this.version++;
  }

  /** Writes a block and returns where it ends. `target` has room for `encodedBytesMax`. */
  encode(fields: FieldList, target: Buffer, start: number): number {
    let at = start;
    if (this.#mustAnnounce) {
      this.#mustAnnounce = false;
      at = writeInteger(target, at, 0x20, 5, 0); // empties the client's copy
      at = writeInteger(target, at, 0x20, 5, this.#maxBytes);
    }
    for (let field = 0; field < fields.length; field += 2)
      at = this.#field(fields[field]!, fields[field + 1]!, target, at);
    return at;
  }

  #field(name: string, value: string, target: Buffer, at: number): number {
    const fixed = staticFields.get(name)?.get(value);
    if (fixed !== undefined) return writeInteger(target, at, 0x80, 7, fixed);
    const number = this.#inserted.get(name)?.get(value);
    if (number !== undefined) return writeInteger(target, at, 0x80, 7, STATIC_ENTRIES + this.#entries - number);
    const isIndexed = this.#insert(name, value);
    const nameIndex = staticNames.get(name) ?? 0;
    let next = isIndexed ? writeInteger(target, at, 0x40, 6, nameIndex) : writeInteger(target, at, 0x00, 4, nameIndex);
    if (nameIndex === 0) next = writeString(target, next, name);
    return writeString(target, next, value);
  }

  #insert(name: string, value: string): boolean {
    if (!indexedNames.has(name) || value.length > MAX_INDEXED_VALUE) return false;
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#bytes + bytes > this.#maxBytes) return false;
    const values = this.#inserted.get(name) ?? new Map<string, number>();
    values.set(value, this.#entries++);
    this.#inserted.set(name, values);
    this.#bytes += bytes;
    this.version++;
    return true;
  }
}

/** More than a block of these fields can take: two size updates, and for each string a length of at most five bytes. */
export function encodedBytesMax(fields: FieldList): number {
  let bytes = 16;
  for (const text of fields) bytes += text.length + 6;
  return bytes;
}

/** RFC 7541 section 5.1. */
function writeInteger(target: Buffer, at: number, pattern: number, prefixBits: number, value: number): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}

function writeString(target: Buffer, at: number, text: string): number {
  const start = writeInteger(target, at, 0x00, 7, text.length);
  return start + target.write(text, start, "latin1");
}
