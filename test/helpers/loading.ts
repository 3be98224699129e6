import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { FileRole, InheritedFile, ServiceFile } from "../../src/plugin/index.ts";
import type { LoadStep } from "../../src/plugin/load.fixture.ts";

/** What a vendor would sign about a file as it is now. */
export function serviceFile(path: string, role: FileRole = "library"): ServiceFile {
  const bytes = readFileSync(path);
  const hex = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
  return { name: basename(path), role, size: bytes.length, md5: hex("md5"), sha256: hex("sha256") };
}

/** What a step of load.fixture.ts printed: a plugin's facts, or an error. */
export interface Loaded {
  readonly version?: string;
  readonly vendor?: string;
  readonly fd?: number;
  readonly loaded?: boolean;
  readonly code?: string;
  readonly message?: string;
}

/** Loads sealed files in a new process, as a service host does. */
export function loadInChild(files: readonly InheritedFile[], env: Record<string, string> = {}): Loaded {
  // In the child the standard streams come first.
  const inherited = files.map((file, index) => ({ ...file, fd: 3 + index }));
  const fds = files.map((file) => file.fd);
  return performInChild([{ do: "load", files: inherited }], env, fds)[0]!;
}

/**
 * Performs steps one after another in one new process. Its environment is `env` and nothing else.
 * @param wrapper a command that runs the command given to it as arguments
 */
export function performInChild(
  steps: readonly LoadStep[],
  env: Record<string, string> = {},
  fds: readonly number[] = [],
  wrapper: readonly string[] = [],
): Loaded[] {
  const program = new URL("../../src/plugin/load.fixture.ts", import.meta.url).pathname;
  const [command, ...words] = [...wrapper, process.execPath, program, JSON.stringify(steps)];
  const { stdout, stderr, status, signal } = spawnSync(command!, words, {
    env,
    stdio: ["ignore", "pipe", "pipe", ...fds],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the child ended with ${status ?? signal}: ${stderr}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Loaded);
}
