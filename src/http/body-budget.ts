import { SignetError } from "../errors.ts";

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

  /** @throws SERVER_OVERLOADED, and then nothing was taken */
  take(bytes: number): void {
    if (this.#heldBytes + bytes > this.#maxBytes) {
      throw new SignetError("SERVER_OVERLOADED", `expected at most ${this.#maxBytes} bytes of all bodies together`);
    }
    this.#heldBytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}
