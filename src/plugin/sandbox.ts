import { fileURLToPath } from "node:url";
import { SignetError } from "../errors.ts";
import { bubblewrapCommand, type Command } from "./bubblewrap.ts";
import { landlockVersion } from "./landlock.ts";
import { protectMemory } from "./protect-memory.ts";
import { filterSystemCalls, hasSystemCallFilters } from "./seccomp.ts";

/**
 * How a child is kept from what it does not need: it restricts itself (`seccomp`), does so in name spaces of its own
 * that bubblewrap makes (`bwrap`), or, for a plugin that needs more after all, not (`none`).
 */
export type Sandbox = "none" | "seccomp" | "bwrap";

/** The argument that tells a program that it runs in a sandbox, and has to close it behind itself. */
const SANDBOX_WORD = "sandboxed";

export interface SandboxFacts {
  /** The kernel's version of Landlock; 0 where files are not restricted by it, because it has none. */
  readonly landlock: number;
}

/** What this kernel has for every sandbox. @throws SANDBOX_UNAVAILABLE where it filters no system calls */
export function readSandboxFacts(): SandboxFacts {
  verifyFilters();
  return { landlock: landlockVersion() };
}

function verifyFilters(): void {
  if (!hasSystemCallFilters()) {
    throw new SignetError(
      "SANDBOX_UNAVAILABLE",
      "expected this kernel to filter system calls (seccomp), found it does not",
    );
  }
}

export interface SandboxOptions {
  readonly sandbox: Sandbox;
  /** A program for Node: its file. */
  readonly program: string;
  readonly nodeFlags: readonly string[];
  /** An existing directory, the one that it may write to. */
  readonly home: string;
  /** Whether it may open the devices of GPUs. */
  readonly hasGpus: boolean;
  /** How many of its first descriptors the program keeps. */
  readonly descriptors: number;
}

/** What to start so that a program for Node runs in a sandbox. @throws SANDBOX_UNAVAILABLE */
export function sandboxCommand({ sandbox, program, nodeFlags, home, hasGpus, descriptors }: SandboxOptions): Command {
  const node = (...args: string[]): Command => ({ path: process.execPath, args: [...nodeFlags, ...args] });
  if (sandbox === "none") return node(program);
  verifyFilters();
  const confine = fileURLToPath(new URL("./confine.ts", import.meta.url));
  const confined = node(confine, `${descriptors}`, hasGpus ? "gpus" : "no-gpus", program, SANDBOX_WORD);
  return sandbox === "bwrap" ? bubblewrapCommand(confined, home, hasGpus) : confined;
}

/**
 * The last steps of a program before foreign code runs in it: what holds for one program only, or would have kept it
 * from starting. Without a sandbox, its memory is protected all the same.
 */
export function closeSandbox(): void {
  protectMemory();
  if (process.argv.includes(SANDBOX_WORD)) filterSystemCalls("all");
}
