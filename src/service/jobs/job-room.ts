import { statfs } from "node:fs/promises";
import { SignetError } from "../../errors.ts";

/** How much of all uploads together comes between two looks at the disk: there may be thousands of them. */
const LOOK_BYTES = 16 * 2 ** 20;

/**
 * How much jobs may still take of the disk. Whoever may submit could fill it otherwise, and a ledger that cannot be
 * written ends every call.
 */
export class JobRoom {
  readonly #directory: string;
  readonly #minFreeBytes: number;
  #unverified = 0;

  constructor(directory: string, minFreeBytes: number) {
    this.#directory = directory;
    this.#minFreeBytes = minFreeBytes;
  }

  /** What comes, for as long as there is room for it. */
  async *watch(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      this.#unverified += piece.byteLength;
      if (this.#unverified >= LOOK_BYTES) {
        this.#unverified = 0;
        await this.verify(0);
      }
      yield piece;
    }
  }

  /** @param bytes about to be written @throws STORE_FULL, STORE_UNAVAILABLE */
  async verify(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory).catch((cause) => {
      throw new SignetError("STORE_UNAVAILABLE", "the disk of the jobs does not say how much is free", { cause });
    });
    if (bavail * bsize - bytes >= this.#minFreeBytes) return;
    const mib = (of: number) => `${Math.floor(of / 2 ** 20)} MiB`;
    const expected = `${mib(this.#minFreeBytes)} to stay free beside ${mib(bytes)}`;
    throw new SignetError("STORE_FULL", `expected ${expected}, found ${mib(bavail * bsize)} free`);
  }
}
