import { SignetError } from "../errors.ts";

/** What a piece of a body costs beside its bytes: objects of Node's. Pieces may be of one byte each, as chunks are. */
export const PIECE_BYTES = 512;

/** Bytes of bodies that are held at the same time, so that many connections together do not fill the memory. */
export class BodyBudget {
  readonly #maxBytes: number;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Room for one piece.
   * @returns what it takes, to be given back
   * @throws SERVER_OVERLOADED, and then nothing was taken
   */
  take(bytes: number): number {
    const taken = PIECE_BYTES + bytes;
    if (this.#heldBytes + taken > this.#maxBytes) {
      throw new SignetError("SERVER_OVERLOADED", `expected at most ${this.#maxBytes} bytes of all bodies together`);
    }
    this.#heldBytes += taken;
    return taken;
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}
