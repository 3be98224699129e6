import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import { verifyDependencies } from "./dependencies.ts";
import { useLibrary } from "./elf.fixture.ts";
import { readElf } from "./elf.ts";

const attack = attacksOn("libraries and models");

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

test(
  "every truncation of a library is refused, and none crashes the reader",
  attack("cuts a library", "at every length"),
  () => {
    const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so"] });
    for (let length = 0; length < library.length; length++) {
      expect(codeOf(() => readElf(library.subarray(0, length)))).toBe("PLUGIN_INCOMPATIBLE");
    }
  },
);

test(
  "every single bit flip and thousands of random changes are read or refused, never more",
  attack("confuses the reader of libraries", "bit flips and random changes"),
  () => {
    const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so", "libc.so.6"], runpath: "$ORIGIN" });
    const counts = { none: 0, PLUGIN_INCOMPATIBLE: 0 };
    const read = (bytes: Buffer) => {
      const code = codeOf(() => readElf(bytes));
      expect(Object.keys(counts)).toContain(code);
      counts[code as keyof typeof counts]++;
    };
    for (let bit = 0; bit < library.length * 8; bit++) {
      const changed = Buffer.from(library);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      read(changed);
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
      read(changed);
    }
    observed(`read ${counts.none} times, refused ${counts.PLUGIN_INCOMPATIBLE} times, never more`);
  },
);

test(
  "a second string table, which only the loader would use, is refused",
  attack("has another string table for the loader", "a second DT_STRTAB"),
  () => {
    const library = useLibrary({ soname: "liba.so.1", needed: ["libb.so", "libc.so.6"] });
    library.writeBigUInt64LE(5n, 64 + 2 * 56);
    expect(codeOf(() => readElf(library))).toBe("PLUGIN_INCOMPATIBLE");
  },
);
