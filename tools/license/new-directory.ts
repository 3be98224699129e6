import { lstat, mkdtemp, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileError, SignetError } from "../../src/errors.ts";
import { syncTree } from "../../src/license/index.ts";

/**
 * Makes a directory (mode 0700) that appears under its name only when `fill` has finished: it is filled beside it and
 * renamed. Whatever fails before leaves nothing behind.
 * @throws SignetError FILE_EXISTS when something has that name already; nothing is ever overwritten. FILE_UNREADABLE
 */
export async function createDirectory<T>(path: string, fill: (directory: string) => Promise<T>): Promise<T> {
  const target = resolve(path);
  await verifyAbsent(path);
  const draft = await createDraft(target);
  try {
    const result = await fill(draft);
    await syncTree(draft);
    // rename replaces an empty directory, so only a name taken in the meantime by something real can fail here.
    await rename(draft, target).catch((error) => {
      throw new SignetError("FILE_EXISTS", `${path}: could not be created, expected nothing there`, { cause: error });
    });
    return result;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function createDraft(target: string): Promise<string> {
  try {
    return await mkdtemp(join(dirname(target), `.${basename(target)}.`));
  } catch (error) {
    throw fileError(dirname(target), error); // where it is to lie: that is what is missing or not writable
  }
}

/** For before a passphrase is asked for in vain; createDirectory looks again. @throws SignetError FILE_EXISTS */
export async function verifyAbsent(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined) throw new SignetError("FILE_EXISTS", `${path}: already exists, expected a new directory`);
}
