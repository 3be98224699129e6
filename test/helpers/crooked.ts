import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const native = join(import.meta.dirname, "..", "..", "native");
const source = join(native, "test", "crooked.c");

/** The faults that native/test/crooked.c can have, by name; their order there is their number. */
const faultNumbers = new Map(
  /enum \{([^}]+)\}/
    .exec(readFileSync(source, "utf8"))![1]!
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .map((name, number) => [name, number]),
);

/** A directory that is removed when the test ends. */
export function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface CrookedOptions {
  readonly faults?: readonly string[];
  /** What describe(NULL) gives as version. */
  readonly version?: string;
  /** A library made by `compilePart`; its version becomes the plugin's vendor. */
  readonly part?: string;
}

/** Compiles the crooked plugin to `path`. */
export function compileCrooked(path: string, { faults = [], version = "1", part }: CrookedOptions = {}): string {
  let sum = 0n;
  for (const fault of faults) {
    const number = faultNumbers.get(fault);
    if (number === undefined) throw new Error(`no fault is called ${fault}`);
    sum |= 1n << BigInt(number);
  }
  compile(path, source, [
    `-I${join(native, "include")}`,
    `-DFAULTS=${sum}ull`,
    `-DVERSION="${version}"`,
    ...(part === undefined ? [] : ["-DPART", part, "-Wl,-rpath,$ORIGIN"]),
  ]);
  return path;
}

/** Compiles a dependency that calls itself libpart.so.1 and knows its version. */
export function compilePart(path: string, version: string): string {
  const part = `${path}.c`;
  writeFileSync(
    part,
    `__attribute__((visibility("default"))) const char *part_version(void) { return "${version}"; }\n`,
  );
  compile(path, part, ["-Wl,-soname,libpart.so.1"]);
  return path;
}

function compile(path: string, from: string, flags: readonly string[]): void {
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-o", path, from, ...flags, "-lpthread"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}
