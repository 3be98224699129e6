import { readFileSync } from "node:fs";

/** What a process has in memory, bytes. */
export interface ResidentMemory {
  readonly private: number;
  /** Memory that can be shared and lies in no file on a disk, whether anybody else has it or not. */
  readonly shared: number;
}

/** As the kernel counts it. Nothing where the process is gone. */
export function residentMemory(pid: number | undefined): ResidentMemory {
  if (pid === undefined) return { private: 0, shared: 0 };
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return { private: bytesOf(status, "RssAnon"), shared: bytesOf(status, "RssShmem") };
  } catch {
    return { private: 0, shared: 0 };
  }
}

function bytesOf(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status);
  return match ? Number(match[1]) * 1024 : 0;
}
