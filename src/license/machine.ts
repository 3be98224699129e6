import type { Machine } from "./machine-fact.ts";
import { readLinuxMachine } from "./machine-linux.ts";
import { collectWithSysteminformation, machineFrom } from "./machine-systeminformation.ts";

/**
 * What identifies this machine. On Linux the kernel's own files are read; elsewhere systeminformation is asked.
 * `root` is another root for those files: a host's, mounted into a container.
 */
export async function readMachine({ root = "/" }: { root?: string } = {}): Promise<Machine> {
  return process.platform === "linux" ? readLinuxMachine(root) : machineFrom(await collectWithSysteminformation());
}
