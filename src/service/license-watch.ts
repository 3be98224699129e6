import { type FSWatcher, watch } from "node:fs";
import { basename } from "node:path";
import type { DataDirectory } from "../config/index.ts";

/** An installation is several changes in a row; they are looked at together. */
const SETTLE_MS = 200;
/**
 * How often to look without being told: nothing tells of a root or a list that comes or goes, nor does every file
 * system. Looking takes about 0.5 ms of one core where a license has 20 files.
 */
const LOOK_MS = 1000;

/** Calls `look` soon after a license was installed, and every second anyway. */
export class LicenseWatch {
  readonly #look: () => void;
  readonly #interval: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #settling: NodeJS.Timeout | undefined;

  constructor({ root, licenseDir, revocationDir, trustDir }: DataDirectory, look: () => void) {
    const names = [licenseDir, revocationDir, trustDir].map((path) => basename(path));
    this.#look = look;
    this.#interval = setInterval(look, LOOK_MS);
    this.#interval.unref();
    try {
      // The data directory: the license's own is replaced as a whole, and a watch would go with it.
      this.#watcher = watch(root, { persistent: false }, (_, name) => {
        if (name === null || names.includes(name)) this.#lookSoon();
      });
      // No more inotify watches to be had, for example: the interval still looks.
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      this.#watcher = undefined;
    }
  }

  #lookSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(this.#look, SETTLE_MS);
    this.#settling.unref();
  }

  close(): void {
    clearInterval(this.#interval);
    clearTimeout(this.#settling);
    this.#watcher?.close();
  }
}
