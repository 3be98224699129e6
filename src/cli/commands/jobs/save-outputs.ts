import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, SignetError } from "../../../errors.ts";
import type { ResultDownload, ResultOutput } from "../../../grpc/index.ts";
import { datatypes, elementCount } from "../../../tensor/index.ts";

/** An output in a file. */
export interface SavedOutput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** In the file. */
  readonly bytes: number;
  readonly file: string;
}

/** Before a BYTES element stands how long it is. */
const LENGTH_BYTES = 4;

/**
 * Writes outputs as they come, each into a file of its own; where that does not go well, what was written is taken away
 * again. @throws FILE_EXISTS, FILE_UNREADABLE, and as the download
 */
export async function saveOutputs({ outputs, chunks }: ResultDownload, directory: string): Promise<SavedOutput[]> {
  const saved: SavedOutput[] = [];
  const source = new Source(chunks);
  const names = fileNamesOf(outputs);
  try {
    await mkdir(directory, { recursive: true }).catch((error) => {
      throw fileError(directory, error);
    });
    for (const [index, { name, datatype, shape, bytes }] of outputs.entries()) {
      const isOneElement = datatypes[datatype].bytes === null && elementCount(shape) === 1 && bytes >= LENGTH_BYTES;
      if (isOneElement) for await (const _ of source.take(LENGTH_BYTES));
      const content = isOneElement ? bytes - LENGTH_BYTES : bytes;
      const file = join(directory, names[index]!);
      const handle = await create(file);
      saved.push({ name, datatype, shape, bytes: content, file });
      await write(handle, file, source.take(content));
    }
    return saved;
  } catch (error) {
    await Promise.all(saved.map(({ file }) => rm(file, { force: true })));
    throw error;
  } finally {
    await chunks.return(undefined);
  }
}

/** Names of outputs are the vendor's; as names of files they stay in their directory and differ. */
function fileNamesOf(outputs: readonly ResultOutput[]): string[] {
  const taken = new Set<string>();
  return outputs.map(({ name }) => {
    const plain =
      name
        .replace(/[^A-Za-z0-9._-]/g, "_")
        .replace(/^\.+/, "_")
        .slice(0, 100) || "output";
    let found = plain;
    for (let number = 2; taken.has(found); number++) found = `${plain}-${number}`;
    taken.add(found);
    return `${found}.bin`;
  });
}

async function create(file: string): Promise<FileHandle> {
  return await open(file, "wx").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw new SignetError("FILE_EXISTS", `${file} is already there`, { cause: error });
    throw fileError(file, error);
  });
}

async function write(handle: FileHandle, file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of chunks) {
      await handle.writeFile(chunk).catch((error) => {
        throw fileError(file, error);
      });
    }
  } finally {
    await handle.close();
  }
}

/** Chunks of any size, taken by numbers of bytes. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  async *take(bytes: number): AsyncGenerator<Uint8Array> {
    for (let missing = bytes; missing > 0; ) {
      if (this.#rest.byteLength === 0) {
        const next = await this.#chunks.next();
        if (next.done) throw new SignetError("INTERNAL", `the server's result ends ${missing} bytes too soon`);
        this.#rest = new Uint8Array(next.value);
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.byteLength);
      missing -= part.byteLength;
      yield part;
    }
  }
}
