import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

/** What the kernel says of processes. Whatever is asked of one that has just ended is null or nothing. */

export interface ProcessFacts {
  readonly pid: number;
  readonly rssMiB: number;
  readonly isZombie: boolean;
}

export function readProcess(pid: number): ProcessFacts | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const rssKiB = Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0);
    return { pid, rssMiB: rssKiB / 1024, isZombie: /^State:\s+Z/m.test(text) };
  } catch {
    return null;
  }
}

/** The service that a process of a server runs: its working directory has the service's name. */
export function serviceOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/cwd`));
  } catch {
    return "?";
  }
}

export interface Descriptors {
  readonly all: number;
  /** Memory files: sealed libraries and models, and the slots of services. */
  readonly memory: number;
  readonly sockets: number;
  /** Files in /dev/shm, which other processes could open by their names. */
  readonly named: number;
}

export function readDescriptors(pid: number): Descriptors {
  const targets = listOf(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  const count = (begin: string) => targets.filter((target) => target.startsWith(begin)).length;
  return { all: targets.length, memory: count("/memfd:"), sockets: count("socket:"), named: count("/dev/shm/") };
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
