import { createReadStream, createWriteStream } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

/**
 * Compresses closed segments into `archive/*.jsonl.gz`, off the main thread. The server never reads them again, and
 * an operator may move them away. A segment that cannot be compressed now stays as it is.
 *
 * @param current the name of the segment that is still written to
 */
export async function compressArchive(directory: string, current = "journal.jsonl"): Promise<void> {
  const archive = join(directory, "archive");
  const names = await readdir(archive).catch(() => []);
  for (const name of names.filter((name) => name.endsWith(".jsonl"))) {
    const path = join(archive, name);
    try {
      // A crash in the middle of a rotation leaves a second name of the journal that is still written to.
      const [segment, journal] = [await stat(path), await stat(join(directory, current))];
      if (segment.ino !== journal.ino) {
        await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}.new`, { mode: 0o600 }));
        await rename(`${path}.new`, `${path}.gz`);
      }
      await rm(path);
    } catch {
      await rm(`${path}.new`, { force: true }).catch(() => {});
    }
  }
}
