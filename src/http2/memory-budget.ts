/**
 * Bytes of messages that are in memory, of one connection or of all: requests, and answers that their clients have not
 * taken. A request that does not fit is refused, not made to wait: half a message that waits for another half message
 * would wait for ever.
 */
export class MemoryBudget {
  readonly #maxBytes: number;
  readonly #parent: MemoryBudget | null;
  #heldBytes = 0;

  constructor(maxBytes: number, parent: MemoryBudget | null = null) {
    this.#maxBytes = maxBytes;
    this.#parent = parent;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @returns whether there is room here and above; if not, nothing is taken. */
  take(bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#maxBytes) return false;
    if (this.#parent !== null && !this.#parent.take(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /**
   * Holds what there already is, such as an answer: it is too late to refuse that. Where it is more than there is room
   * for, what comes next is refused.
   */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#parent?.hold(bytes);
  }

  release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#parent?.release(bytes);
  }
}
