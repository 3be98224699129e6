/** Something that waits for its turn. */
export interface Waiting {
  /** Smaller goes first. */
  readonly priority: number;
  /** Goes behind all of its priority that are not delayed. */
  readonly isDelayed: boolean;
}

/**
 * What waits for a service, in order of priority and, within one priority, of arrival. Deadlines and cancellation remove
 * an item; the queue itself keeps no timers and no limits.
 */
export class Queue<Item extends Waiting> implements Iterable<Item> {
  readonly #items: Item[] = [];

  get length(): number {
    return this.#items.length;
  }

  /** How many of one priority wait. */
  lengthOf(priority: number): number {
    return this.#findEnd(priority) - this.#findEnd(priority - 1);
  }

  [Symbol.iterator](): Iterator<Item> {
    return this.#items[Symbol.iterator]();
  }

  push(item: Item): void {
    // From the back, because nearly everything has the same priority and belongs at the end.
    let index = this.#items.length;
    while (index > 0 && isBefore(item, this.#items[index - 1]!)) index--;
    this.#items.splice(index, 0, item);
  }

  peek(): Item | undefined {
    return this.#items[0];
  }

  shift(): Item | undefined {
    return this.#items.shift();
  }

  /** Lets an item that had its turn wait again, before all others of its priority. */
  putBack(item: Item): void {
    this.#items.splice(this.#findEnd(item.priority - 1), 0, item);
  }

  remove(item: Item): boolean {
    const index = this.#items.indexOf(item);
    if (index < 0) return false;
    this.#items.splice(index, 1);
    return true;
  }

  /** Removes items that are there, given in the queue's order. */
  removeAll(items: readonly Item[]): void {
    let removed = 0;
    let kept = 0;
    for (const item of this.#items) {
      if (item === items[removed]) removed++;
      else this.#items[kept++] = item;
    }
    this.#items.length = kept;
  }

  /** Empties the queue and returns what was in it. */
  clear(): Item[] {
    return this.#items.splice(0);
  }

  /** Where those of a priority end, and those after it begin. */
  #findEnd(priority: number): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#items[middle]!.priority <= priority) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(item: Waiting, other: Waiting): boolean {
  return item.priority < other.priority || (item.priority === other.priority && !item.isDelayed && other.isDelayed);
}
