import { randomUUID } from "node:crypto";
import { constants, link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { SignetError } from "../errors.ts";

/**
 * Writes a file that must not exist yet: it appears whole or not at all, survives a power cut, and is never
 * written over or through a link. The directory is made with mode 0700.
 *
 * @throws FILE_EXISTS, FILE_UNREADABLE
 */
export async function createFile(path: string, content: string, mode: number): Promise<void> {
  const directory = dirname(path);
  const draft = `${path}.${randomUUID()}.new`;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const file = await open(
      draft,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode,
    );
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    // link, unlike rename, fails when the name is taken.
    await link(draft, path).finally(() => unlink(draft));
    await syncDirectory(directory);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "unknown error";
    if (reason === "EEXIST") throw new SignetError("FILE_EXISTS", `${path}: is already there`, { cause: error });
    throw new SignetError("FILE_UNREADABLE", `${path}: could not be written (${reason})`, { cause: error });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
