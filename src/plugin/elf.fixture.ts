import type { LibraryFile } from "./dependencies.ts";
import { readElf } from "./elf.ts";

interface LibraryFacts {
  soname?: string;
  needed?: string[];
  runpath?: string;
  machine?: number;
}

/** The smallest library the loader would take: one loaded segment with a dynamic section and its strings. */
export function useLibrary({ soname, needed = [], runpath, machine = 62 }: LibraryFacts): Buffer {
  let strings = "\0";
  const add = (text: string): bigint => {
    strings += `${text}\0`;
    return BigInt(strings.length - text.length - 1);
  };
  const entries: [bigint, bigint][] = needed.map((name) => [1n, add(name)]);
  if (soname !== undefined) entries.push([14n, add(soname)]);
  if (runpath !== undefined) entries.push([29n, add(runpath)]);
  const dynamicAt = 64 + 2 * 56;
  const stringsAt = dynamicAt + (entries.length + 3) * 16;
  entries.push([5n, BigInt(0x1000 + stringsAt)], [10n, BigInt(strings.length)], [0n, 0n]);
  const image = Buffer.alloc(stringsAt + strings.length);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  image.writeUInt16LE(3, 16);
  image.writeUInt16LE(machine, 18);
  image.writeBigUInt64LE(64n, 32);
  image.writeUInt16LE(56, 54);
  image.writeUInt16LE(2, 56);
  const segment = (at: number, type: number, offset: number, bytes: number): void => {
    image.writeUInt32LE(type, at);
    image.writeBigUInt64LE(BigInt(offset), at + 8);
    image.writeBigUInt64LE(BigInt(0x1000 + offset), at + 16);
    image.writeBigUInt64LE(BigInt(bytes), at + 32);
    image.writeBigUInt64LE(BigInt(bytes), at + 40);
  };
  segment(64, 1, 0, image.length);
  segment(120, 2, dynamicAt, entries.length * 16);
  entries.forEach(([tag, value], index) => {
    image.writeBigUInt64LE(tag, dynamicAt + index * 16);
    image.writeBigUInt64LE(value, dynamicAt + index * 16 + 8);
  });
  image.write(strings, stringsAt, "latin1");
  return image;
}

/**
 * The same with a GNU hash table.
 * @param buckets where the chain of each begins; symbols that are offered begin at 1
 * @param links one for each symbol; an odd one ends its chain
 * @param name of all symbols
 */
export function useLibraryWithSymbols(buckets: readonly number[], links: readonly number[], name = "a"): Buffer {
  const plain = useLibrary({ soname: "liba.so.1", needed: [name, "b"] });
  const hashAt = Math.ceil(plain.length / 8) * 8;
  const filterWords = 1;
  const words = [buckets.length, 1, filterWords, 0, 0, 0, ...buckets, ...links];
  const symbolsAt = hashAt + words.length * 4;
  const image = Buffer.concat([plain, Buffer.alloc(symbolsAt - plain.length + (links.length + 1) * 24)]);
  for (const [index, word] of words.entries()) image.writeUInt32LE(word, hashAt + index * 4);
  for (let symbol = 1; symbol <= links.length; symbol++) image.writeUInt32LE(1, symbolsAt + symbol * 24);
  // The two DT_NEEDED become DT_GNU_HASH and DT_SYMTAB.
  const entries = [0x6ffffef5, 0x1000 + hashAt, 6, 0x1000 + symbolsAt];
  for (const [index, value] of entries.entries()) image.writeBigUInt64LE(BigInt(value), 64 + 2 * 56 + index * 8);
  for (const at of [64 + 32, 64 + 40]) image.writeBigUInt64LE(BigInt(image.length), at);
  return image;
}

/** The same as a file of a service. */
export function useFile(name: string, facts: LibraryFacts): LibraryFile {
  return { name, elf: readElf(useLibrary(facts)) };
}
