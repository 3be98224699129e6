/**
 * The jobs that a process was given, in order: as many as it has threads have their turn, and the others lie ahead in
 * its ring until one of those has ended. A thread may in truth be a little further, which nobody outside can know.
 */
export class Turns<Item> {
  readonly #running = new Set<Item>();
  readonly #ahead: Item[] = [];

  get running(): ReadonlySet<Item> {
    return this.#running;
  }

  /** In their order. */
  get ahead(): readonly Item[] {
    return this.#ahead;
  }

  get size(): number {
    return this.#running.size + this.#ahead.length;
  }

  /** @param threads of the process @returns whether its turn is now */
  add(item: Item, threads: number): boolean {
    const hasTurn = this.#running.size < threads;
    if (hasTurn) this.#running.add(item);
    else this.#ahead.push(item);
    return hasTurn;
  }

  /** It has ended. @returns whose turn that makes it, if anybody's */
  end(item: Item): Item | undefined {
    if (!this.#running.delete(item)) {
      // It was further than it seemed.
      const index = this.#ahead.indexOf(item);
      if (index >= 0) this.#ahead.splice(index, 1);
      return undefined;
    }
    const next = this.#ahead.shift();
    if (next !== undefined) this.#running.add(next);
    return next;
  }
}
