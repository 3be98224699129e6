/**
 * Bytes of received messages that are in memory, of one connection or of all. What does not fit is refused, not made to
 * wait: half a message that waits for another half message would wait for ever.
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

  release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#parent?.release(bytes);
  }
}
