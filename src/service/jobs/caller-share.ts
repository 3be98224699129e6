import { SignetError } from "../../errors.ts";
import type { Identity } from "../access.ts";

/** Something that one caller may have so much of at a time, so that there is some for the others. */
export class CallerShare {
  readonly #most: number;
  readonly #what: string;
  /** By the caller's id. */
  readonly #taken = new Map<string, number>();

  /** @param what for people, in the plural */
  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** @returns how to give it back @throws TOO_MANY_CALLS */
  take({ id, name }: Identity, amount: number): () => void {
    const taken = (this.#taken.get(id) ?? 0) + amount;
    if (taken > this.#most) {
      throw new SignetError("TOO_MANY_CALLS", `${name}: expected at most ${this.#most} ${this.#what} at the same time`);
    }
    this.#taken.set(id, taken);
    return () => {
      const left = this.#taken.get(id)! - amount;
      if (left === 0) this.#taken.delete(id);
      else this.#taken.set(id, left);
    };
  }

  /** The same pieces, which are one of what is shared for as long as they come. @throws TOO_MANY_CALLS */
  async *hold(identity: Identity, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const giveBack = this.take(identity, 1);
    try {
      yield* pieces;
    } finally {
      giveBack();
    }
  }
}
