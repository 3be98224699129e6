import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

export interface Ended {
  readonly out: string;
  readonly err: string;
  readonly exit: number | null;
  /** The code in the last line of stderr; "none" where it is no error line. */
  readonly code: string;
}

/** Runs a program of the clone to its end, with nothing of this process's environment but PATH. */
export function runProgram(
  program: "signet" | "signet-license",
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Ended {
  const { stdout, stderr, status } = spawnSync(join(root, "bin", program), args, {
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
    timeout: 60_000,
  });
  const last = stderr.trimEnd().split("\n").at(-1) ?? "";
  const code = new RegExp(`^${program}: ([A-Z_]+): `).exec(last)?.[1] ?? "none";
  return { out: stdout, err: stderr, exit: status, code };
}
