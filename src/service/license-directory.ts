import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * The installed bundle, held open. An installation exchanges the whole directory for another one; `fd` goes on
 * leading to this one under its new name, so that the license in force is compared with its own files, and not with
 * those of the license that is about to take over.
 */
export class LicenseDirectory {
  readonly #path: string;
  /** Leads to the directory for as long as it is open. */
  readonly fd: number;

  private constructor(path: string, fd: number) {
    this.#path = path;
    this.fd = fd;
  }

  /** null where there is none. */
  static open(path: string): LicenseDirectory | null {
    try {
      return new LicenseDirectory(path, openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
    } catch {
      return null; // reading the license in it says what is wrong
    }
  }

  /** Whether it still is what its name leads to. */
  get isInstalled(): boolean {
    const held = fstatSync(this.fd);
    const found = statSync(this.#path, { throwIfNoEntry: false });
    return found !== undefined && found.ino === held.ino && found.dev === held.dev;
  }

  close(): void {
    closeSync(this.fd);
  }
}

/**
 * What lies below these paths, as one word that changes with every file that is written, replaced, added or removed.
 * It reads no content: some microseconds for each file.
 */
export async function versionOf(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    for (const name of ["", ...(await namesBelow(path))]) {
      const stats = await lstat(join(path, name), { bigint: true }).catch(() => null);
      // A directory's times change when it is renamed, and say nothing that its files do not.
      const facts =
        stats === null
          ? "gone"
          : stats.isDirectory()
            ? stats.ino
            : [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs];
      hash.update(`${path}\0${name}\0${facts}\0`);
    }
  }
  return hash.digest("hex");
}

async function namesBelow(path: string): Promise<string[]> {
  return (await readdir(path, { recursive: true }).catch(() => [])).sort();
}
