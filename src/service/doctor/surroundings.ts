import { readdirSync, readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { readLaunch } from "../../config/index.ts";

/** What the examination sees outside the data directory. Tests give another root and another environment. */
export interface Surroundings {
  /** The root of /proc, /sys, /etc, /run and the libraries. */
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execArgv: readonly string[];
  readonly nodeVersion: string;
  readonly uid: number;
  readonly home: string;
  readonly hostname: string;
  readonly now: Date;
}

export function realSurroundings(): Surroundings {
  return {
    root: "/",
    env: environmentOfStart(),
    execArgv: process.execArgv,
    nodeVersion: process.versions.node,
    uid: process.getuid?.() ?? 0,
    home: homedir(),
    hostname: hostname(),
    now: new Date(),
  };
}

/** A preloaded library may have taken its traces out of process.env; the kernel remembers. */
function environmentOfStart(): Record<string, string | undefined> {
  const variables = readLaunch().environ.split("\0");
  return Object.fromEntries(
    variables
      .filter((each) => each.includes("="))
      .map((each) => [each.split("=")[0]!, each.slice(each.indexOf("=") + 1)]),
  );
}

/** A small file of the system; null where it is not there or may not be read. */
export function readText({ root }: Surroundings, path: string): string | null {
  try {
    return readFileSync(join(root, path), "utf8")
      .slice(0, 1 << 20)
      .trim();
  } catch {
    return null;
  }
}

export function listNames({ root }: Surroundings, path: string): string[] {
  try {
    return readdirSync(join(root, path)).sort();
  } catch {
    return [];
  }
}
