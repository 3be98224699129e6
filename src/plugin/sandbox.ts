import { fileURLToPath } from "node:url";
import { SignetError } from "../errors.ts";
import { landlockVersion } from "./landlock.ts";
import { protectMemory } from "./protect-memory.ts";
import { filterSystemCalls, hasSystemCallFilters } from "./seccomp.ts";

/** The argument that tells a program that it runs in a sandbox, and has to close it behind itself. */
const SANDBOX_WORD = "sandboxed";

export interface SandboxFacts {
  /** The kernel's version of Landlock; 0 where files are not restricted, because it has none. */
  readonly landlock: number;
}

/** @throws SANDBOX_UNAVAILABLE where this kernel filters no system calls. */
export function verifySandbox(): SandboxFacts {
  if (!hasSystemCallFilters()) {
    throw new SignetError(
      "SANDBOX_UNAVAILABLE",
      "expected this kernel to filter system calls (seccomp), found it does not",
    );
  }
  return { landlock: landlockVersion() };
}

/** Node's arguments to run `program` in a sandbox with its first `descriptors` descriptors. @throws SANDBOX_UNAVAILABLE */
export function sandboxArguments(program: string, descriptors: number): string[] {
  verifySandbox();
  return [fileURLToPath(new URL("./confine.ts", import.meta.url)), `${descriptors}`, program, SANDBOX_WORD];
}

/**
 * The last steps of a program before foreign code runs in it: what holds for one program only, or would have kept it
 * from starting. Without a sandbox, its memory is protected all the same.
 */
export function closeSandbox(): void {
  protectMemory();
  if (process.argv.includes(SANDBOX_WORD)) filterSystemCalls("all");
}
