import { SignetError } from "../errors.ts";

/** What the dynamic loader will do with a library before any of its code runs. */
export interface ElfFacts {
  readonly machine: string;
  /** The name other libraries ask for this one by; null when the library was linked without one. */
  readonly soname: string | null;
  /** Everything the loader brings in with it: DT_NEEDED, and DT_FILTER and DT_AUXILIARY, which load just as well. */
  readonly needed: readonly string[];
  /** The directories of DT_RPATH and DT_RUNPATH, as written. */
  readonly runpath: readonly string[];
}

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
const PAGE_BYTES = 4096;
const MAX_NAME_BYTES = 1024;

const ET_DYN = 3;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;

const DT = { null: 0, needed: 1, strtab: 5, strsz: 10, soname: 14, rpath: 15, runpath: 29 } as const;
const DT_AUXILIARY = 0x7ffffffd;
const DT_FILTER = 0x7fffffff;

const machineNames = new Map([
  [62, "x86-64"],
  [183, "aarch64"],
]);

/**
 * Reads a 64-bit little-endian shared library as the dynamic loader does: through its program headers,
 * never its section headers, which the loader ignores and which may therefore say anything.
 * @throws SignetError PLUGIN_INCOMPATIBLE for whatever is not such a library or contradicts itself.
 */
export function readElf(bytes: Uint8Array): ElfFacts {
  const image = new ElfImage(bytes);
  const entries = image.dynamicEntries();
  const single = (tag: number, name: string): number | undefined => {
    const found = entries.filter((entry) => entry.tag === tag);
    // The loader would take the last one; a reader that took the first would be fooled.
    if (found.length > 1) throw malformed(`has ${found.length} ${name} entries, expected one`);
    return found[0]?.value;
  };
  const strings = image.stringTable(single(DT.strtab, "DT_STRTAB"), single(DT.strsz, "DT_STRSZ"));
  const namesOf = (...tags: number[]): string[] =>
    entries.filter((entry) => tags.includes(entry.tag)).map((entry) => strings(entry.value));
  const soname = single(DT.soname, "DT_SONAME");
  return {
    machine: image.machine,
    soname: soname === undefined ? null : strings(soname),
    needed: [...new Set(namesOf(DT.needed, DT_AUXILIARY, DT_FILTER))],
    runpath: namesOf(DT.rpath, DT.runpath).flatMap((list) => list.split(":")),
  };
}

interface Segment {
  readonly address: number;
  readonly offset: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

/** The file as it will lie in memory: addresses resolve through the PT_LOAD segments only. */
export class ElfImage {
  readonly machine: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #segments: readonly Segment[];
  readonly #dynamic: Segment;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < HEADER_BYTES || this.#view.getUint32(0, false) !== 0x7f454c46) throw malformed("is not ELF");
    if (bytes[4] !== 2 || bytes[5] !== 1 || bytes[6] !== 1) throw malformed("is not 64-bit little-endian ELF");
    if (this.#view.getUint16(16, true) !== ET_DYN) throw malformed("is not a shared library");
    const machine = this.#view.getUint16(18, true);
    this.machine = machineNames.get(machine) ?? `machine ${machine}`;

    const load: Segment[] = [];
    const dynamic: Segment[] = [];
    for (const { type, segment } of this.#programHeaders()) {
      if (type === PT_LOAD) load.push(segment);
      if (type === PT_DYNAMIC) dynamic.push(segment);
    }
    if (dynamic.length !== 1) throw malformed(`has ${dynamic.length} dynamic segments, expected one`);
    verifySegmentsDisagreeNowhere(load);
    this.#segments = load;
    this.#dynamic = dynamic[0]!;
  }

  *#programHeaders(): Generator<{ type: number; segment: Segment }> {
    const start = this.#number(32, "program header offset");
    const entryBytes = this.#view.getUint16(54, true);
    const count = this.#view.getUint16(56, true);
    if (entryBytes !== PROGRAM_HEADER_BYTES || count === 0) throw malformed("has no usable program headers");
    this.#verifyRange(start, count * PROGRAM_HEADER_BYTES, "program headers");
    for (let at = start; at < start + count * PROGRAM_HEADER_BYTES; at += PROGRAM_HEADER_BYTES) {
      const type = this.#view.getUint32(at, true);
      if (type !== PT_LOAD && type !== PT_DYNAMIC) continue;
      const segment = {
        offset: this.#number(at + 8, "segment offset"),
        address: this.#number(at + 16, "segment address"),
        fileBytes: this.#number(at + 32, "segment size in the file"),
        memoryBytes: this.#number(at + 40, "segment size in memory"),
      };
      this.#verifyRange(segment.offset, segment.fileBytes, "segment");
      if (segment.fileBytes > segment.memoryBytes) throw malformed("has a segment larger in the file than in memory");
      yield { type, segment };
    }
  }

  /** The entries up to DT_NULL; the loader finds them by address, so the segment's own file offset is not used. */
  dynamicEntries(): { tag: number; value: number }[] {
    const { offset, available } = this.#resolve(this.#dynamic.address, "dynamic segment");
    const entries: { tag: number; value: number }[] = [];
    for (let at = offset; at + DYNAMIC_ENTRY_BYTES <= offset + available; at += DYNAMIC_ENTRY_BYTES) {
      const tag = this.#view.getBigUint64(at, true);
      if (tag === BigInt(DT.null)) return entries;
      // Values of other tags may be anything, flags for example; only those read later need to be numbers.
      entries.push({ tag: Number(tag), value: Number(this.#view.getBigUint64(at + 8, true)) });
    }
    throw malformed("has a dynamic segment without an end");
  }

  /** A reader of NUL-terminated names in DT_STRTAB. */
  stringTable(
    address: number | undefined,
    size: number | undefined,
    maxNameBytes = MAX_NAME_BYTES,
  ): (index: number) => string {
    if (address === undefined || size === undefined) throw malformed("has no dynamic string table");
    const { offset, available } = this.#resolve(address, "string table");
    if (size > available) throw malformed("has a string table that leaves its segment");
    const table = this.#bytes.subarray(offset, offset + size);
    return (index) => {
      if (!(index < size)) throw malformed("has a name outside its string table");
      const end = table.subarray(index, index + maxNameBytes + 1).indexOf(0);
      if (end < 0) throw malformed(`has a name longer than ${maxNameBytes} bytes`);
      // latin1 keeps every byte distinct, so two different names can never look the same.
      return Buffer.from(table.subarray(index, index + end)).toString("latin1");
    };
  }

  /** What lies at an address and after it in its segment. */
  viewAt(address: number, what: string): DataView {
    const { offset, available } = this.#resolve(address, what);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + offset, available);
  }

  #resolve(address: number, what: string): { offset: number; available: number } {
    const segment = this.#segments.find((each) => address >= each.address && address < each.address + each.fileBytes);
    if (segment === undefined) throw malformed(`has a ${what} that is not loaded from the file`);
    const skipped = address - segment.address;
    return { offset: segment.offset + skipped, available: segment.fileBytes - skipped };
  }

  #number(at: number, what: string): number {
    const value = this.#view.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`has an impossible ${what}`);
    return Number(value);
  }

  #verifyRange(start: number, length: number, what: string): void {
    if (start + length > this.#bytes.length) throw malformed(`has a ${what} outside the file`);
  }
}

/** Two segments mapped over the same page would make an address mean one thing to us and another to the loader. */
function verifySegmentsDisagreeNowhere(segments: readonly Segment[]): void {
  let previous: Segment | undefined;
  for (const segment of segments) {
    if (previous !== undefined) {
      if (segment.address < previous.address) throw malformed("has unordered segments");
      const firstPage = Math.floor(segment.address / PAGE_BYTES);
      const lastPage = Math.floor((previous.address + Math.max(previous.memoryBytes, 1) - 1) / PAGE_BYTES);
      const sameBytes = segment.address - segment.offset === previous.address - previous.offset;
      if (firstPage <= lastPage && !sameBytes) throw malformed("has overlapping segments");
    }
    previous = segment;
  }
}

function malformed(what: string): SignetError {
  return new SignetError("PLUGIN_INCOMPATIBLE", `the library ${what}`);
}
