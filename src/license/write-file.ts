import { randomUUID } from "node:crypto";
import { constants, link, mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { fileError, SignetError } from "../errors.ts";
import { syncPath } from "./sync-path.ts";

/**
 * Writes a file that must not exist yet: it appears whole or not at all, survives a power cut, and is never
 * written over or through a link. Its directory must be there.
 *
 * @throws FILE_EXISTS, FILE_UNREADABLE
 */
export async function createFile(path: string, content: string, mode: number): Promise<void> {
  const directory = dirname(path);
  const draft = `${path}.${randomUUID()}.new`;
  try {
    await writeDraft(draft, content, mode);
    // link, unlike rename, fails when the name is taken.
    await link(draft, path).finally(() => unlink(draft));
    await syncPath(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      throw new SignetError("FILE_EXISTS", `${path}: is already there`, { cause: error });
    }
    throw fileError(path, error);
  }
}

/**
 * The same in a directory for this user alone, which is made with mode 0700 if need be.
 * @throws FILE_EXISTS, FILE_UNREADABLE
 */
export async function createPrivateFile(path: string, content: string, mode: number): Promise<void> {
  const directory = dirname(path);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError(directory, error);
  }
  await createFile(path, content, mode);
}

/**
 * Puts a new file in the place of one that is there: the old or the new one has the name at every instant.
 * @throws FILE_UNREADABLE
 */
export async function replaceFile(path: string, content: string, mode: number): Promise<void> {
  const draft = `${path}.${randomUUID()}.new`;
  try {
    await writeDraft(draft, content, mode);
    await rename(draft, path);
    await syncPath(dirname(path));
  } catch (error) {
    await unlink(draft).catch(() => undefined);
    throw fileError(path, error);
  }
}

async function writeDraft(draft: string, content: string, mode: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(draft, flags, mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}
