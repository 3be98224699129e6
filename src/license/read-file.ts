import { constants, type FileHandle, open } from "node:fs/promises";
import { type ErrorCode, fileError, SignetError } from "../errors.ts";

/**
 * Reads a regular file of at most maxBytes once, whole. A pipe or a device is refused without waiting for it,
 * and a file that grows meanwhile is not followed. Links are: what was read is what is verified.
 */
export async function readSmallFile(
  path: string,
  limits: { maxBytes: number; missing: ErrorCode; tooLarge: ErrorCode; what: string },
): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) {
      const found = status.isDirectory() ? "is a directory" : "is a pipe or a device, expected a file";
      throw new SignetError("FILE_UNREADABLE", `${path}: ${found}`);
    }
    const buffer = Buffer.alloc(limits.maxBytes + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > limits.maxBytes) {
      throw new SignetError(limits.tooLarge, `${path}: expected ${limits.what} of at most ${limits.maxBytes} bytes`);
    }
    return buffer.subarray(0, length);
  } catch (error) {
    throw fileError(path, error, (error as NodeJS.ErrnoException).code === "ENOENT" ? limits.missing : undefined);
  } finally {
    await file?.close();
  }
}
