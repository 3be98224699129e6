import { lstat, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { syncPath, syncTree } from "../license/index.ts";
import { exchangeNames } from "../plugin/index.ts";

/**
 * Puts `replacement` in the place of `path`, which becomes `previous`; what was `previous` before is deleted, or kept
 * in its place where it is still needed. Both lie on one file system. At every instant one whole directory has the
 * name, except on a file system that cannot exchange two names, where it is missing for a moment.
 *
 * @param keepPrevious leaves `previous` as it is, and deletes what had the name
 * @param exchange swaps two names, or says that the file system cannot
 * @returns whether there was something to replace
 */
export async function replaceDirectory(
  path: string,
  replacement: string,
  previous: string,
  keepPrevious = false,
  exchange: typeof exchangeNames = exchangeNames,
): Promise<boolean> {
  await syncTree(replacement);
  const isThere = (await lstat(path).catch(() => undefined)) !== undefined;
  if (!isThere) {
    await rename(replacement, path);
  } else if (exchange(replacement, path)) {
    await rm(keepPrevious ? replacement : previous, { recursive: true, force: true });
    if (!keepPrevious) await rename(replacement, previous);
  } else if (keepPrevious) {
    await rm(path, { recursive: true, force: true });
    await rename(replacement, path);
  } else {
    await rm(previous, { recursive: true, force: true });
    await rename(path, previous);
    await rename(replacement, path);
  }
  await syncPath(dirname(path));
  return isThere;
}
