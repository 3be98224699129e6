import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { DataDirectory } from "../config/index.ts";
import { errorCatalogue } from "../errors.ts";
import { replaceFile } from "../license/index.ts";

/**
 * What a running server says about its license, in a file, for commands that run beside it: the license in force need
 * not be the one that is installed. Nothing is decided by it.
 */

const codes = Object.keys(errorCatalogue) as [keyof typeof errorCatalogue];

const servingStateSchema = z.strictObject({
  v: z.literal(1),
  pid: z.int().positive(),
  /** When that process started, in the kernel's clock ticks since boot: the number alone may be another's by now. */
  startedTicks: z.string().regex(/^\d+$/),
  /** In force. */
  licenseId: z.uuid(),
  sequence: z.int().min(1),
  since: z.iso.datetime(),
  /** Why the installed license is not the one in force; null where it is. */
  refused: z.strictObject({ code: z.enum(codes), message: z.string(), at: z.iso.datetime() }).nullable(),
});

export type ServingState = Readonly<Omit<z.infer<typeof servingStateSchema>, "v" | "pid" | "startedTicks">>;

/** @throws FILE_UNREADABLE */
export async function writeServingState(data: DataDirectory, state: ServingState): Promise<void> {
  const { pid } = process;
  const document = { v: 1, pid, startedTicks: startedTicksOf(pid), ...state };
  await replaceFile(fileOf(data), `${JSON.stringify(document, null, 2)}\n`, 0o600);
}

export function removeServingState(data: DataDirectory): void {
  rmSync(fileOf(data), { force: true });
}

/** What the server of this host says; null where none runs, or it cannot be read. */
export function readServingState(data: DataDirectory): ServingState | null {
  try {
    if (!statSync(fileOf(data)).isFile()) return null; // reading a pipe would wait for ever
    const parsed = servingStateSchema.parse(JSON.parse(readFileSync(fileOf(data), "utf8")));
    const { v: _, pid, startedTicks, ...state } = parsed;
    return startedTicksOf(pid) === startedTicks ? state : null;
  } catch {
    return null;
  }
}

function fileOf(data: DataDirectory): string {
  return join(data.root, "serving.json");
}

/** Field 22 of /proc/PID/stat; the second field, a name in parentheses, may hold anything. */
function startedTicksOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
}
