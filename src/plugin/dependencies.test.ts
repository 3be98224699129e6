import { expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import { loadOrder, verifyDependencies } from "./dependencies.ts";
import { useFile, useLibrary } from "./elf.fixture.ts";
import { readElf } from "./elf.ts";

const attack = attacksOn("libraries and models");

test(
  "a library loaded by DT_AUXILIARY or DT_FILTER counts as needed",
  attack("hides what a library needs", "DT_AUXILIARY, DT_FILTER"),
  () => {
    for (const tag of [0x7ffffffdn, 0x7fffffffn]) {
      const library = useLibrary({ soname: "liba.so.1", needed: ["libevil.so"] });
      library.writeBigUInt64LE(tag, 64 + 2 * 56);
      const files = [{ name: "liba.so.1", elf: readElf(library) }];
      expect(codeOf(() => verifyDependencies(files))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
    }
  },
);

test(
  "a dependency covers by its SONAME, not by its file name",
  attack("covers a dependency by a file's name", "libb.so.1 with another SONAME"),
  () => {
    const plugin = useFile("plugin.so", { needed: ["libb.so.1", "libc.so.6"] });
    const renamed = useFile("whatever.so", { soname: "libb.so.1" });
    const lookalike = useFile("libb.so.1", { soname: "libother.so" });
    expect(codeOf(() => verifyDependencies([renamed, plugin]))).toBe("none");
    expect(codeOf(() => verifyDependencies([lookalike, plugin]))).toBe("LIBRARY_DEPENDENCY_UNCOVERED");
  },
);

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

test(
  "a search path others could write to, or relative to wherever the server was started, is refused",
  attack("has a library search where others write", "RPATH, RUNPATH"),
  () => {
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
  },
);

test(
  "names that only look like a system library are not one",
  attack("names a library like one of the system", '"libc.so.6 ", LIBC.SO.6, /tmp/libc.so.6'),
  () => {
    for (const needed of ["/tmp/libc.so.6", "libc.so.6 ", "LIBC.SO.6", "$ORIGIN/libc.so.6", "libc.so", "__proto__"]) {
      expect(codeOf(() => verifyDependencies([useFile("plugin.so", { needed: [needed] })]))).toBe(
        "LIBRARY_DEPENDENCY_UNCOVERED",
      );
    }
  },
);
