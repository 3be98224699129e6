import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SignetError } from "../errors.ts";
import { closeOthersOnExec, type Sandbox, sandboxCommand } from "../plugin/index.ts";
import { Child } from "./child.ts";
import { serviceHostEnvironment, type VisibleGpus } from "./environment.ts";
import { FIRST_INHERITED_FD } from "./protocol.ts";

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
  /** Default none. */
  readonly gpus?: VisibleGpus | undefined;
}

/**
 * Starts a process that will run foreign code. It gets an environment of its own, the channel, and the descriptors
 * that are named: nothing else, also not what this process was itself started with.
 * @throws SERVICE_START_FAILED, SANDBOX_UNAVAILABLE
 */
export function startChild({
  program,
  home,
  threads,
  inherited,
  sandbox = "seccomp",
  nodeFlags = [],
  gpus = [],
}: ChildOptions): Child {
  closeOthersOnExec();
  const { path, args } = sandboxCommand({
    sandbox,
    program: fileURLToPath(new URL(`./host/${program}`, import.meta.url)),
    nodeFlags: ["--disable-sigusr1", ...nodeFlags],
    home,
    hasGpus: gpus === "all" || gpus.length > 0,
    descriptors: FIRST_INHERITED_FD + inherited.length,
  });
  const child = spawn(path, args, {
    env: serviceHostEnvironment(home, threads, gpus),
    cwd: home,
    stdio: ["ignore", "pipe", "pipe", "pipe", ...inherited],
  });
  // What Node gives, against its types, where this process has no descriptors left; its "error" event comes later.
  if ((child.stdio as ChildProcess["stdio"] | undefined) === undefined) {
    child.on("error", () => {});
    throw new SignetError("SERVICE_START_FAILED", "no process could be started: this one has no file descriptors left");
  }
  return new Child(child, sandbox);
}
