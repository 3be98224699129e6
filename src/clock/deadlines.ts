/** Something that must end in time. The bucket and the links are the wheel's. */
export interface Deadline {
  /** Monotonic, ms. */
  readonly deadlineMs: number;
  /** -1 where it is in no wheel. */
  bucket: number;
  previous: Deadline | null;
  next: Deadline | null;
  onDeadline(): void;
}

const TICK_MS = 10;
const BUCKETS = 512;

/**
 * Deadlines: none comes early, and none more than 10 ms late. A timer of Node's for each call would cost more
 * than the rest of a small call; here setting and forgetting one is a few assignments. Buckets are lists, of which each
 * tick looks through one: what is due in another round stays.
 */
export class Deadlines {
  readonly #buckets: (Deadline | null)[] = new Array(BUCKETS).fill(null);
  #count = 0;
  #timer: NodeJS.Timeout | undefined;
  /** The tick that was looked at last. */
  #tick = 0;

  add(entry: Deadline): void {
    if (this.#timer === undefined) {
      this.#tick = Math.floor(performance.now() / TICK_MS);
      this.#timer = setInterval(() => this.#advance(), TICK_MS).unref();
    }
    // The first tick that is surely after it, and that has not been looked at.
    const tick = Math.max(Math.floor(entry.deadlineMs / TICK_MS), this.#tick) + 1;
    const bucket = tick % BUCKETS;
    const first = this.#buckets[bucket]!;
    entry.bucket = bucket;
    entry.previous = null;
    entry.next = first;
    if (first !== null) first.previous = entry;
    this.#buckets[bucket] = entry;
    this.#count++;
  }

  remove(entry: Deadline): void {
    const { bucket, previous, next } = entry;
    if (bucket < 0) return;
    if (previous === null) this.#buckets[bucket] = next;
    else previous.next = next;
    if (next !== null) next.previous = previous;
    entry.bucket = -1;
    entry.previous = null;
    entry.next = null;
    this.#count--;
  }

  #advance(): void {
    const nowMs = performance.now();
    const last = Math.floor(nowMs / TICK_MS);
    const due: Deadline[] = [];
    // After a long pause of the process, one round is all there is.
    for (let tick = Math.max(this.#tick + 1, last - BUCKETS + 1); tick <= last; tick++) {
      for (let entry = this.#buckets[tick % BUCKETS]!; entry !== null; entry = entry.next!) {
        if (entry.deadlineMs <= nowMs) due.push(entry);
      }
    }
    this.#tick = last;
    for (const entry of due) {
      // The end of one call may have been the end of another.
      if (entry.bucket < 0) continue;
      this.remove(entry);
      entry.onDeadline();
    }
    if (this.#count > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
