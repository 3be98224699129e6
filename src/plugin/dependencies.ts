import { posix } from "node:path";
import { SignetError } from "../errors.ts";
import type { ElfFacts } from "./elf.ts";

/**
 * The trusted base: libraries that belong to the operating system or to the GPU's driver and are never part of a
 * bundle. A license cannot vouch for them, and a program could not run without them.
 */
export const systemLibraries: ReadonlySet<string> = new Set([
  "libc.so.6",
  "libm.so.6",
  "libstdc++.so.6",
  "libgcc_s.so.1",
  "libpthread.so.0",
  "libdl.so.2",
  "librt.so.1",
  "ld-linux-x86-64.so.2",
  "ld-linux-aarch64.so.1",
  "linux-vdso.so.1",
  "libcuda.so.1",
]);

/** A library or dependency of a service under the name it has in the bundle. */
export interface LibraryFile {
  readonly name: string;
  readonly elf: ElfFacts;
}

/**
 * Checks that loading the libraries in the given order never makes the loader search for a file: each thing a library
 * needs is either the SONAME of one before it (the loader takes that one) or part of the system base.
 * @throws SignetError LIBRARY_DEPENDENCY_UNCOVERED naming the library and what it needs.
 */
export function verifyDependencies(files: readonly LibraryFile[]): void {
  const loaded = new Map<string, string>();
  for (const { name, elf } of files) {
    for (const needed of elf.needed) {
      if (loaded.has(needed) || systemLibraries.has(needed)) continue;
      const later = files.find((file) => file.elf.soname === needed);
      const found =
        later === undefined ? "which no listed file provides" : `which ${later.name} provides, listed after it`;
      throw new SignetError("LIBRARY_DEPENDENCY_UNCOVERED", `${name} needs ${printable(needed)}, ${found}`);
    }
    verifyRunpath(name, elf);
    if (elf.soname === null) continue;
    // Of two libraries with one SONAME the loader binds everyone to the first, whatever the second contains.
    const twin = loaded.get(elf.soname);
    if (twin !== undefined) {
      const message = `${name} and ${twin} both call themselves ${printable(elf.soname)}, expected different names`;
      throw new SignetError("LIBRARY_DEPENDENCY_UNCOVERED", message);
    }
    loaded.set(elf.soname, name);
  }
}

/** What `$ORIGIN` means to a library that is loaded from a sealed memfd. */
const ORIGIN = "/proc/self/fd";
/** Directories that only root or the kernel fills; cwd and root are the ways back out of /proc. */
const safeDirectory = /^\/(lib|lib64|usr|opt|proc(?!.*\/(cwd|root)(\/|$)))(\/|$)/;

/** A system library that is not loaded yet would be searched for in these directories first. */
function verifyRunpath(name: string, elf: ElfFacts): void {
  const unsafe = elf.runpath.find(
    (directory) => !safeDirectory.test(posix.normalize(directory.replace(/^\$(ORIGIN|\{ORIGIN\})(?=\/|$)/, ORIGIN))),
  );
  if (unsafe === undefined) return;
  const message = `${name} has ${printable(unsafe) || "an empty directory"} in its RUNPATH, expected $ORIGIN or none`;
  throw new SignetError("LIBRARY_DEPENDENCY_UNCOVERED", message);
}

/**
 * The order in which the libraries can be loaded: each after all it needs, otherwise as given.
 * @throws SignetError LIBRARY_DEPENDENCY_UNCOVERED when two need each other or something is not covered at all.
 */
export function loadOrder<File extends LibraryFile>(files: readonly File[]): File[] {
  const ordered: File[] = [];
  let waiting = [...files];
  while (waiting.length > 0) {
    const provided = new Set(waiting.map((file) => file.elf.soname));
    const ready = waiting.find((file) =>
      file.elf.needed.every((needed) => !provided.has(needed) || needed === file.elf.soname),
    );
    if (ready === undefined) {
      const names = waiting.map((file) => file.name).join(", ");
      throw new SignetError("LIBRARY_DEPENDENCY_UNCOVERED", `${names} need each other, expected no circle`);
    }
    ordered.push(ready);
    waiting = waiting.filter((file) => file !== ready);
  }
  verifyDependencies(ordered);
  return ordered;
}

/** Names come from an untrusted file: control characters must not reach a terminal or a log. */
function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}
