import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type ErrorCode, SignetError } from "../errors.ts";
import { loadOrder, readElf, verifyDependencies } from "./elf.ts";

interface LibraryFacts {
  soname?: string;
  needed?: string[];
  runpath?: string;
  machine?: number;
}

/** The smallest library the loader would take: one loaded segment with a dynamic section and its strings. */
function useLibrary({ soname, needed = [], runpath, machine = 62 }: LibraryFacts): Buffer {
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

function useFile(name: string, facts: LibraryFacts) {
  return { name, elf: readElf(useLibrary(facts)) };
}

function codeOf(act: () => unknown): ErrorCode | "none" {
  try {
    act();
  } catch (error) {
    // Anything else is what this reader promises never to throw.
    if (!(error instanceof SignetError)) throw error;
    return error.code;
  }
  return "none";
}

test("a library says what it is called, what it needs and where it would search", () => {
  const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so", "libc.so.6"], runpath: "$ORIGIN:/usr/lib" });
  expect(readElf(library)).toEqual({
    machine: "x86-64",
    soname: "liba.so.1",
    needed: ["libb.so", "libc.so.6"],
    runpath: ["$ORIGIN", "/usr/lib"],
  });
});

test("a real library of 28 MB reads, and needs nothing outside the system base", () => {
  const folder = join(import.meta.dirname, "../../node_modules/onnxruntime-node/bin");
  const version = readdirSync(folder)[0]!;
  const elf = readElf(readFileSync(join(folder, version, "linux", process.arch, "libonnxruntime.so.1")));
  expect(elf.soname).toBe("libonnxruntime.so.1");
  expect(elf.needed).toContain("libc.so.6");
  expect(codeOf(() => verifyDependencies([{ name: "libonnxruntime.so.1", elf }]))).toBe("none");
});

test("every truncation of a library is refused, and none crashes the reader", () => {
  const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so"] });
  for (let length = 0; length < library.length; length++) {
    expect(codeOf(() => readElf(library.subarray(0, length)))).toBe("PLUGIN_INCOMPATIBLE");
  }
});

test("every single bit flip and thousands of random changes are read or refused, never more", () => {
  const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so", "libc.so.6"], runpath: "$ORIGIN" });
  const allowed = new Set(["none", "PLUGIN_INCOMPATIBLE"]);
  for (let bit = 0; bit < library.length * 8; bit++) {
    const changed = Buffer.from(library);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(allowed).toContain(codeOf(() => readElf(changed)));
  }
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * below);
  };
  for (let round = 0; round < 20_000; round++) {
    const changed = Buffer.from(library);
    for (let count = 1 + random(16); count > 0; count--) {
      changed[random(changed.length)] = [0, 0xff, 0x7f, 0x80, random(256)][random(5)]!;
    }
    expect(allowed).toContain(codeOf(() => readElf(changed)));
  }
});

test("a second string table, which only the loader would use, is refused", () => {
  const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so", "libc.so.6"] });
  library.writeBigUInt64LE(5n, 64 + 2 * 56);
  expect(codeOf(() => readElf(library))).toBe("PLUGIN_INCOMPATIBLE");
});

test("a library loaded by DT_AUXILIARY or DT_FILTER counts as needed", () => {
  for (const tag of [0x7ffffffdn, 0x7fffffffn]) {
    const library = useLibrary({ soname: "liba.so.1", needed: ["libevil.so"] });
    library.writeBigUInt64LE(tag, 64 + 2 * 56);
    const files = [{ name: "liba.so.1", elf: readElf(library) }];
    expect(codeOf(() => verifyDependencies(files))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
  }
});

test("a dependency covers by its SONAME, not by its file name", () => {
  const plugin = useFile("plugin.so", { needed: ["libb.so.1", "libc.so.6"] });
  const renamed = useFile("whatever.so", { soname: "libb.so.1" });
  const lookalike = useFile("libb.so.1", { soname: "libother.so" });
  expect(codeOf(() => verifyDependencies([renamed, plugin]))).toBe("none");
  expect(codeOf(() => verifyDependencies([lookalike, plugin]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
});

test("a dependency listed after the library that needs it is refused, and the load order puts it first", () => {
  const plugin = useFile("plugin.so", { needed: ["liba.so"] });
  const a = useFile("liba.so", { soname: "liba.so", needed: ["libb.so"] });
  const b = useFile("libb.so", { soname: "libb.so" });
  expect(codeOf(() => verifyDependencies([plugin, a, b]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
  expect(loadOrder([plugin, a, b]).map((file) => file.name)).toEqual(["libb.so", "liba.so", "plugin.so"]);
});

test("libraries that need each other, and two of one name, are refused", () => {
  const a = useFile("a.so", { soname: "a.so", needed: ["b.so"] });
  const b = useFile("b.so", { soname: "b.so", needed: ["a.so"] });
  const twin = useFile("twin.so", { soname: "c.so" });
  const other = useFile("other.so", { soname: "c.so" });
  expect(codeOf(() => loadOrder([a, b]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
  expect(codeOf(() => loadOrder([twin, other]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
});

test("a search path others could write to, or relative to wherever the server was started, is refused", () => {
  for (const runpath of [
    "/tmp/evil",
    "lib",
    "",
    "/home/builder/out",
    "$ORIGIN:.",
    "/usrlocal",
    "/usr/../tmp",
    "$ORIGIN/../../../tmp",
    "$ORIGIN/../cwd/lib",
    "$ORIGINAL",
    "/proc/1/cwd",
  ]) {
    const file = useFile("plugin.so", { runpath, needed: ["libc.so.6"] });
    expect(codeOf(() => verifyDependencies([file]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
  }
  for (const runpath of ["$ORIGIN", "$ORIGIN/../lib", "$ORIGIN/../../nvidia/cublas", "/usr/local/cuda/lib64"]) {
    expect(codeOf(() => verifyDependencies([useFile("plugin.so", { runpath })]))).toBe("none");
  }
});

test("names that only look like a system library are not one", () => {
  for (const needed of ["/tmp/libc.so.6", "libc.so.6 ", "LIBC.SO.6", "$ORIGIN/libc.so.6", "libc.so", "__proto__"]) {
    expect(codeOf(() => verifyDependencies([useFile("plugin.so", { needed: [needed] })]))).toBe(
      "LIBRARY_DEPENDENCY_UNCOVERED",
    );
  }
});
