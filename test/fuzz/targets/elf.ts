import { verifyDependencies } from "../../../src/plugin/dependencies.ts";
import { useLibrary, useLibraryWithSymbols } from "../../../src/plugin/elf.fixture.ts";
import { readElf } from "../../../src/plugin/elf.ts";
import { exportedSymbols } from "../../../src/plugin/elf-symbols.ts";
import { mutateBytes } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

/** A library's dynamic section: what it needs, where it would search, what it offers. */
export function elf(): Target {
  return {
    codes: ["PLUGIN_INCOMPATIBLE", "LIBRARY_DEPENDENCY_UNCOVERED"],
    starts: [
      useLibrary({ soname: "liba.so.1", needed: ["libc.so.6", "libm.so.6"], runpath: "$ORIGIN:/usr/lib" }),
      useLibrary({ needed: ["libb.so"], runpath: "/tmp", machine: 183 }),
      useLibraryWithSymbols([1], [0, 1]),
    ],
    mutate: mutateBytes,
    maxBytes: 2048,
    run(input) {
      const facts = readElf(input);
      const names = [...facts.needed, ...facts.runpath, facts.soname ?? ""];
      hold(
        names.every((name) => name.length <= 1024 && !name.includes("\0")),
        "a name is a C string of at most 1024 bytes",
      );
      const symbols = exportedSymbols(input);
      verifyDependencies([{ name: "lib.so", elf: facts }]);
      return `accepted ${facts.machine} with ${symbols.length === 0 ? "no symbols" : "symbols"}`;
    },
  };
}
