import { readSmallFile } from "../../src/license/index.ts";

/** The largest file this program reads whole. What it parses has tighter limits of its own. */
const MAX_INPUT_BYTES = 4 * 1024 * 1024;

/**
 * Reads a small regular file; a pipe, a device or a disk image is refused instead of waited for.
 * @throws FILE_UNREADABLE
 */
export function readInput(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: MAX_INPUT_BYTES,
    missing: "FILE_UNREADABLE",
    tooLarge: "FILE_UNREADABLE",
    what: "a file",
  });
}
