import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";

/** A trace file has room for some hundred thousand calls; who traces forgets that easily. */
const MAX_BYTES = 64 * 1024 * 1024;

/** A JSON array that is written entry by entry and is whole once it is closed. */
export class TraceFile {
  readonly path: string;
  #writing: Promise<void>;
  #handle: FileHandle | undefined;
  #entries = 0;
  #bytes = 0;

  /** @param onFailure called once, when something could not be written; nothing is written from then on */
  constructor(directory: string, onFailure: (cause: unknown) => void) {
    this.path = join(directory, `trace-${new Date().toISOString().replaceAll(":", "-")}.json`);
    this.#writing = this.#open(directory).catch(onFailure);
  }

  get isFull(): boolean {
    return this.#bytes >= MAX_BYTES;
  }

  append(entry: object): void {
    const text = `${this.#entries++ === 0 ? "" : ",\n"}${JSON.stringify(entry)}`;
    this.#bytes += text.length;
    this.#then(() => this.#handle?.appendFile(text));
  }

  async close(): Promise<void> {
    this.#then(async () => {
      await this.#handle?.appendFile("]\n");
      await this.#handle?.close();
    });
    await this.#writing;
  }

  async #open(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const handle = await open(this.path, "wx", 0o600);
    await handle.appendFile("[");
    this.#handle = handle;
  }

  #then(write: () => Promise<void> | undefined): void {
    this.#writing = this.#writing.then(write).catch(() => {
      this.#handle = undefined;
    });
  }
}
