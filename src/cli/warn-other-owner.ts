import { statSync } from "node:fs";
import type { DataDirectory } from "../config/index.ts";
import { say } from "./output.ts";

/** What root writes into a service user's data directory, the server could not read: its files are for their owner alone. */
export function warnOtherOwner({ root }: DataDirectory): void {
  const owner = statSync(root, { throwIfNoEntry: false })?.uid;
  const user = process.getuid?.();
  if (owner === undefined || user === undefined || owner === user) return;
  say(
    `Warning: ${root} belongs to user ${owner}, but this is user ${user}; run this as the user that the server runs as.`,
  );
}
