import type { Machine } from "./machine-fact.ts";
import { type AskNvidia, readLinuxMachine } from "./machine-linux.ts";
import { collectWithSysteminformation, machineFrom } from "./machine-systeminformation.ts";

export interface ReadMachineOptions {
  /** Another root for the kernel's files: a host's, mounted into a container. */
  readonly root?: string;
  /** Asked for GPUs only where the kernel's files name none. */
  readonly askNvidia?: AskNvidia;
}

/** What identifies this machine. On Linux the kernel's own files are read; elsewhere systeminformation is asked. */
export async function readMachine({ root = "/", askNvidia }: ReadMachineOptions = {}): Promise<Machine> {
  return process.platform === "linux"
    ? readLinuxMachine(root, askNvidia)
    : machineFrom(await collectWithSysteminformation());
}
