import { statSync } from "node:fs";
import type { Examination } from "./examine.ts";
import { readText } from "./surroundings.ts";

/**
 * The process that holds this host's ledger, from the kernel's list of locks; null where none does, or where a
 * container hides it. Taking the lock to find out could keep a server from starting.
 */
export function serverHoldingLedger({ data, around }: Examination): number | null {
  const inode = statSync(data.ledgerDir, { throwIfNoEntry: false })?.ino;
  if (inode === undefined) return null;
  for (const line of (readText(around, "proc/locks") ?? "").split("\n")) {
    // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:131074 0 EOF
    const [, kind, , access, pid, file] = line.split(/\s+/);
    if (kind === "FLOCK" && access === "WRITE" && file?.split(":")[2] === String(inode)) return Number(pid);
  }
  return null;
}
