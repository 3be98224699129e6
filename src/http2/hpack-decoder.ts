import { ConnectionError } from "./connection-error.ts";
import { ErrorCode } from "./frames.ts";
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES, STATIC_ENTRIES, staticTable } from "./hpack-tables.ts";
import { decodeHuffman } from "./huffman.ts";

/** What a header block says. */
export interface HeaderBlock {
  /** Names and values by turns, in the order of the wire. Bytes are Latin-1 characters. */
  readonly fields: readonly string[];
  /** There was more than the list may have; `fields` is cut. The table is as the client thinks it is nevertheless. */
  readonly isTooLarge: boolean;
  /** Some name or value has a byte that RFC 9113 section 8.2.1 forbids. */
  readonly isMalformed: boolean;
  /** The block has nothing but indices: the same bytes will say the same while the table is of the same version. */
  readonly isAllIndexed: boolean;
}

/** A table of 4096 bytes has at most 128 entries, for each costs at least 32; a power of two makes a ring. */
const RING = DEFAULT_TABLE_BYTES / ENTRY_OVERHEAD_BYTES;
/** Huffman's code makes at most eight bytes of five; a block is bounded by ConnectionLimits.maxHeaderBlockBytes. */
const scratch = Buffer.allocUnsafeSlow(128 * 1024);

/**
 * Decompresses the header blocks of one connection (RFC 7541). The table is the default one of 4096 bytes: it is small,
 * it holds what a gRPC client repeats, and no setting of ours ever changes it, so there is no time at which the two
 * sides could disagree about it.
 */
export class HpackDecoder {
  /** Changes with the table. */
  version = 0;
  readonly #maxListBytes: number;
  readonly #names: string[] = new Array(RING).fill("");
  readonly #values: string[] = new Array(RING).fill("");
  readonly #sizes = new Int32Array(RING);
  /** Whether the entry is malformed. */
  readonly #flaws = new Uint8Array(RING);
  #newest = 0;
  #entries = 0;
  #bytes = 0;
  #maxBytes = DEFAULT_TABLE_BYTES;

  // The block being read.
  #block: Buffer = scratch;
  #at = 0;
  #end = 0;
  #text = "";
  /** White space that was taken off the text. */
  #blanks = 0;
  #isFlawed = false;

  /** @param maxListBytes as SETTINGS_MAX_HEADER_LIST_SIZE counts: names, values, and 32 for each pair */
  constructor(maxListBytes: number) {
    this.#maxListBytes = maxListBytes;
  }

  /** @throws ConnectionError COMPRESSION_ERROR */
  decode(block: Buffer, start: number, end: number): HeaderBlock {
    this.#block = block;
    this.#at = start;
    this.#end = end;
    const fields: string[] = [];
    let listBytes = 0;
    let isMalformed = false;
    let isAllIndexed = true;
    let mayResize = true;
    while (this.#at < end) {
      const first = block[this.#at]!;
      if ((first & 0xe0) === 0x20) {
        if (!mayResize) throw compressionError("a table size update after a header field");
        this.#resize(this.#readInteger(5));
        isAllIndexed = false;
        continue;
      }
      mayResize = false;
      let name: string;
      let value: string;
      this.#isFlawed = false;
      if (first >= 0x80) {
        const index = this.#readInteger(7);
        name = this.#nameAt(index);
        value = this.#valueAt(index);
      } else {
        isAllIndexed = false;
        const isIndexing = first >= 0x40;
        const index = this.#readInteger(isIndexing ? 6 : 4);
        if (index === 0) {
          this.#readString(true);
          name = this.#text;
        } else {
          name = this.#nameAt(index);
        }
        this.#readString(false);
        value = this.#text;
        if (isIndexing) this.#insert(name, value, this.#blanks, this.#isFlawed);
      }
      isMalformed ||= this.#isFlawed;
      listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      if (listBytes <= this.#maxListBytes) fields.push(name, value);
    }
    this.#block = scratch;
    return { fields, isTooLarge: listBytes > this.#maxListBytes, isMalformed, isAllIndexed };
  }

  /** Section 5.1. Nothing that we index or measure needs more than 28 bits. */
  #readInteger(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#block[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      if (this.#at === this.#end) throw compressionError("a header block that ends inside an integer");
      if (shift > 21) throw compressionError("an integer larger than 28 bits");
      const byte = this.#block[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  /** Section 5.2. Leaves the text in a field, so that nothing is made to be returned. */
  #readString(isName: boolean): void {
    if (this.#at === this.#end) throw compressionError("a header block that ends before a string");
    const isHuffman = this.#block[this.#at]! >= 0x80;
    const length = this.#readInteger(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw compressionError("a string that is longer than its header block");
    this.#at = end;
    if (isHuffman) {
      const decoded = decodeHuffman(this.#block, start, end, scratch);
      if (decoded < 0) throw compressionError("a string that is no Huffman code");
      this.#take(scratch, 0, decoded, isName);
    } else {
      this.#take(this.#block, start, end, isName);
    }
  }

  /**
   * RFC 9113 section 8.2.1 has values with white space at either end malformed. They come from clients whose token is
   * an empty variable, who should hear that their token is none. So it is taken off: we forward to nobody, whom the
   * difference could confuse. In the table it counts.
   */
  #take(bytes: Buffer, start: number, end: number, isName: boolean): void {
    if (!(isName ? isNameValid(bytes, start, end) : isValueValid(bytes, start, end))) this.#isFlawed = true;
    let from = start;
    let to = end;
    while (from < to && isBlank(bytes[from]!)) from++;
    while (from < to && isBlank(bytes[to - 1]!)) to--;
    this.#text = bytes.toString("latin1", from, to);
    this.#blanks = end - start - (to - from);
  }

  #nameAt(index: number): string {
    if (index > 0 && index <= STATIC_ENTRIES) return staticTable[index - 1]![0];
    const place = this.#placeOf(index);
    if (this.#flaws[place] === 1) this.#isFlawed = true;
    return this.#names[place]!;
  }

  #valueAt(index: number): string {
    return index <= STATIC_ENTRIES ? staticTable[index - 1]![1] : this.#values[this.#placeOf(index)]!;
  }

  #placeOf(index: number): number {
    const age = index - STATIC_ENTRIES - 1;
    if (age < 0 || age >= this.#entries) throw compressionError("an index that is in no table");
    return (this.#newest - age) & (RING - 1);
  }

  /** Section 4.4: an entry that is larger than the table empties it, and is no error. */
  #insert(name: string, value: string, blanks: number, isFlawed: boolean): void {
    const bytes = name.length + value.length + blanks + ENTRY_OVERHEAD_BYTES;
    this.version++;
    this.#evictDownTo(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    this.#newest = (this.#newest + 1) & (RING - 1);
    this.#names[this.#newest] = name;
    this.#values[this.#newest] = value;
    this.#sizes[this.#newest] = bytes;
    this.#flaws[this.#newest] = isFlawed ? 1 : 0;
    this.#entries++;
    this.#bytes += bytes;
  }

  /** Section 6.3. */
  #resize(maxBytes: number): void {
    if (maxBytes > DEFAULT_TABLE_BYTES) throw compressionError("a table size beyond the agreed 4096 bytes");
    this.version++;
    this.#maxBytes = maxBytes;
    this.#evictDownTo(maxBytes);
  }

  #evictDownTo(bytes: number): void {
    while (this.#bytes > bytes && this.#entries > 0) {
      const oldest = (this.#newest - this.#entries + 1) & (RING - 1);
      this.#bytes -= this.#sizes[oldest]!;
      this.#entries--;
      this.#names[oldest] = "";
      this.#values[oldest] = "";
    }
  }
}

function compressionError(words: string): ConnectionError {
  return new ConnectionError(ErrorCode.COMPRESSION_ERROR, words);
}

/** Tokens of RFC 9110 section 5.6.2, without the capitals that RFC 9113 section 8.2.1 forbids. */
const nameBytes = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") nameBytes[character.charCodeAt(0)] = 1;
/** Visible characters, space, tab, and everything from 0x80 (RFC 9110 section 5.5). */
const valueBytes = new Uint8Array(256).fill(1, 0x20).fill(0, 0x7f, 0x80);
valueBytes[0x09] = 1;

const COLON = 0x3a;

function isNameValid(bytes: Buffer, start: number, end: number): boolean {
  const first = bytes[start] === COLON ? start + 1 : start;
  if (first >= end) return false;
  for (let at = first; at < end; at++) if (nameBytes[bytes[at]!] === 0) return false;
  return true;
}

function isValueValid(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (valueBytes[bytes[at]!] === 0) return false;
  return true;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09;
}
