/** Something that waits for its turn. */
export interface Waiting {
  /** Smaller goes first. */
  readonly priority: number;
}

/**
 * What waits for a service: bounded, in order of priority and, within one priority, of arrival. Deadlines
 * and cancellation remove an item; the queue itself keeps no timers.
 */
export class Queue<Item extends Waiting> {
  readonly #limit: number;
  readonly #items: Item[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#items.length;
  }

  get isFull(): boolean {
    return this.#items.length >= this.#limit;
  }

  push(item: Item): void {
    // From the back, because nearly everything has the same priority and belongs at the end.
    let index = this.#items.length;
    while (index > 0 && this.#items[index - 1]!.priority > item.priority) index--;
    this.#items.splice(index, 0, item);
  }

  shift(): Item | undefined {
    return this.#items.shift();
  }

  remove(item: Item): boolean {
    const index = this.#items.indexOf(item);
    if (index < 0) return false;
    this.#items.splice(index, 1);
    return true;
  }

  /** Empties the queue and returns what was in it. */
  clear(): Item[] {
    return this.#items.splice(0);
  }
}
