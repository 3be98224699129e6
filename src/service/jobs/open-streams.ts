import { SignetError } from "../../errors.ts";
import type { Identity } from "../access.ts";

/**
 * Uploads and results under way, each of which has a file open for as long as its client takes: so many of one caller.
 * Without that one caller could have all files that the process may open, and the ledger could not be written.
 */
export class OpenStreams {
  readonly #mostOfOne: number;
  /** By the caller's id. */
  readonly #open = new Map<string, number>();

  constructor(mostOfOne: number) {
    this.#mostOfOne = mostOfOne;
  }

  /** The same pieces, counted as long as they come. @throws TOO_MANY_CALLS */
  async *count({ id, name }: Identity, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const before = this.#open.get(id) ?? 0;
    if (before >= this.#mostOfOne) {
      throw new SignetError(
        "TOO_MANY_CALLS",
        `${name}: expected at most ${this.#mostOfOne} uploads or results at the same time`,
      );
    }
    this.#open.set(id, before + 1);
    try {
      yield* pieces;
    } finally {
      const left = this.#open.get(id)! - 1;
      if (left === 0) this.#open.delete(id);
      else this.#open.set(id, left);
    }
  }
}
