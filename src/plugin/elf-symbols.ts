import { SignetError } from "../errors.ts";
import { ElfImage } from "./elf.ts";

const SYMBOL_BYTES = 24;
/** Far more than any library exports; a damaged table must not keep us busy. */
const MAX_SYMBOLS = 1 << 20;
/** Templates of C++ get names of many kilobytes. */
const MAX_SYMBOL_BYTES = 64 * 1024;
/** Of all names together; they may overlap in the file. */
const MAX_NAMES_BYTES = 64 * 1024 * 1024;
const DT_SYMTAB = 6;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_GNU_HASH = 0x6ffffef5;

/**
 * The names a library offers to others, as dlsym would find them: through the GNU hash table, which lists defined
 * symbols only. Empty for a library without one. For advice, not for trust.
 * @throws PLUGIN_INCOMPATIBLE for a table that contradicts itself
 */
export function exportedSymbols(bytes: Uint8Array): string[] {
  const image = new ElfImage(bytes);
  const entries = image.dynamicEntries();
  const value = (tag: number) => entries.find((entry) => entry.tag === tag)?.value;
  const hashAddress = value(DT_GNU_HASH);
  const symbolsAddress = value(DT_SYMTAB);
  if (hashAddress === undefined || symbolsAddress === undefined) return [];
  const strings = image.stringTable(value(DT_STRTAB), value(DT_STRSZ), MAX_SYMBOL_BYTES);
  const hash = image.viewAt(hashAddress, "hash table");
  const symbols = image.viewAt(symbolsAddress, "symbol table");

  const bucketCount = word(hash, 0);
  const firstHashed = word(hash, 4);
  const bloomWords = word(hash, 8);
  const buckets = 16 + bloomWords * 8;
  const chains = buckets + bucketCount * 4;
  const names: string[] = [];
  let namesBytes = 0;
  let next = firstHashed;
  for (let bucket = 0; bucket < bucketCount && names.length < MAX_SYMBOLS; bucket++) {
    let index = word(hash, buckets + bucket * 4);
    if (index < firstHashed) continue;
    // Linkers sort symbols by bucket. Chains that share symbols would make millions of names of a few kilobytes.
    if (index < next) throw damaged("has overlapping chains in its hash table");
    // The last link of a chain has its lowest bit set; a chain without an end runs into the table's.
    for (let isLast = false; !isLast && names.length < MAX_SYMBOLS; index++) {
      const link = word(hash, chains + (index - firstHashed) * 4);
      const name = strings(word(symbols, index * SYMBOL_BYTES));
      names.push(name);
      namesBytes += name.length;
      if (namesBytes > MAX_NAMES_BYTES) throw damaged("has more names of symbols than a library can use");
      isLast = (link & 1) === 1;
    }
    next = index;
  }
  return names;
}

function word(view: DataView, at: number): number {
  if (at + 4 > view.byteLength) {
    throw damaged("has a symbol table that leaves its segment");
  }
  return view.getUint32(at, true);
}

function damaged(what: string): SignetError {
  return new SignetError("PLUGIN_INCOMPATIBLE", `the library ${what}`);
}
