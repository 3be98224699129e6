import { constants, type FileHandle, open } from "node:fs/promises";
import { SignetError } from "../../src/errors.ts";

/** The largest file this program reads whole. What it parses has tighter limits of its own. */
const MAX_INPUT_BYTES = 4 * 1024 * 1024;

/** Reads a small regular file; a pipe, a device or a disk image is refused instead of waited for. @throws FILE_UNREADABLE */
export async function readInput(path: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) throw new SignetError("FILE_UNREADABLE", `${path}: expected a regular file`);
    if (status.size > MAX_INPUT_BYTES) {
      throw new SignetError(
        "FILE_UNREADABLE",
        `${path}: expected at most ${MAX_INPUT_BYTES} bytes, found ${status.size}`,
      );
    }
    return await file.readFile();
  } catch (error) {
    if (error instanceof SignetError) throw error;
    const reason = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new SignetError("FILE_UNREADABLE", `${path}: ${reason}`, { cause: error });
  } finally {
    await file?.close();
  }
}
