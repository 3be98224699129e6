import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SignetError } from "../errors.ts";
import { closeOthersOnExec, sandboxArguments } from "../plugin/index.ts";
import { serviceHostEnvironment } from "./environment.ts";
import { FIRST_INHERITED_FD } from "./protocol.ts";

/** How a child is kept from what it does not need; `none` for a plugin that needs it after all. */
export type Sandbox = "none" | "seccomp";

export interface ChildOptions {
  /** A program of host/. */
  readonly program: "main.ts" | "check.ts";
  /** An existing directory that becomes the child's HOME and working directory. */
  readonly home: string;
  readonly threads: number;
  /** Descriptors of this process that become FIRST_INHERITED_FD and those that follow. */
  readonly inherited: readonly number[];
  /** Default `seccomp`. */
  readonly sandbox?: Sandbox | undefined;
  readonly nodeFlags?: readonly string[];
}

/**
 * Starts a process that will run foreign code. It gets an environment of its own, the channel, and the descriptors
 * that are named: nothing else, also not what this process was itself started with.
 * @throws SERVICE_START_FAILED
 */
export function startChild({
  program,
  home,
  threads,
  inherited,
  sandbox = "seccomp",
  nodeFlags = [],
}: ChildOptions): ChildProcess {
  closeOthersOnExec();
  const file = fileURLToPath(new URL(`./host/${program}`, import.meta.url));
  const words = sandbox === "none" ? [file] : sandboxArguments(file, FIRST_INHERITED_FD + inherited.length);
  const child = spawn(process.execPath, ["--disable-sigusr1", ...nodeFlags, ...words], {
    env: serviceHostEnvironment(home, threads),
    cwd: home,
    stdio: ["ignore", "pipe", "pipe", "pipe", ...inherited],
  });
  // What Node gives, against its types, where this process has no descriptors left; its "error" event comes later.
  if ((child.stdio as ChildProcess["stdio"] | undefined) === undefined) {
    child.on("error", () => {});
    throw new SignetError("SERVICE_START_FAILED", "no process could be started: this one has no file descriptors left");
  }
  return child;
}
