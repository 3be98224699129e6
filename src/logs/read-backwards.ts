import { open } from "node:fs/promises";

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * The lines of a file, the last one first, without their ends. The file may grow meanwhile, or be renamed; what is added
 * is not read. Nothing where there is no such file.
 */
export async function* readBackwards(file: string): AsyncGenerator<string> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    // Of the line that the chunk before begins with; bytes, since a character may lie across chunks.
    let rest: Buffer[] = [];
    let { size: at } = await handle.stat();
    while (at > 0) {
      const length = Math.min(CHUNK_BYTES, at);
      at -= length;
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
      const chunk = buffer.subarray(0, bytesRead);
      let end = chunk.length;
      for (let newline = chunk.lastIndexOf(NEWLINE); newline >= 0; newline = lastNewline(chunk, newline)) {
        const line = Buffer.concat([chunk.subarray(newline + 1, end), ...rest]).toString("utf8");
        rest = [];
        end = newline;
        if (line !== "") yield line;
      }
      rest.unshift(chunk.subarray(0, end));
    }
    const first = Buffer.concat(rest).toString("utf8");
    if (first !== "") yield first;
  } finally {
    await handle.close();
  }
}

function lastNewline(chunk: Buffer, before: number): number {
  return before === 0 ? -1 : chunk.lastIndexOf(NEWLINE, before - 1);
}
