import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory for readers that take a path; in memory where the system has a place for that. */
export function createScratch(): { path(name: string): string; remove(): void } {
  const memory = "/dev/shm";
  const directory = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), "signet-fuzz-"));
  return {
    path: (name) => join(directory, name),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
