import { Slots, type SlotsLayout } from "../plugin/index.ts";

/** Slots beside those of running jobs: for jobs that lie ahead, and for outputs that are on their way to a client. */
const SPARE_SLOTS = 48;
const MAX_SPARE_BYTES = 16 * 2 ** 30; // of address space
const MAX_SLOTS = 256;
/** A job with larger inputs waits for a slot of its own, so that spare ones keep little memory. */
const MAX_SPARE_INPUT_BYTES = 8 * 2 ** 20;
/** What spare slots may keep of the memory that they once used. */
const MAX_KEPT_BYTES = 128 * 2 ** 20;

/**
 * The slots of one service. A main one for each thread is there for whatever comes; spare ones take smaller jobs, so
 * that what lies ahead, or is sent to a slow client, never keeps a large job waiting.
 */
export class SlotPool {
  readonly slots: Slots;
  readonly #threads: number;
  readonly #main: number[] = [];
  readonly #spare: number[] = [];
  /** By slot: how far its memory was used. */
  readonly #usedBytes: Float64Array;
  #keptBytes = 0;
  #lent = 0;
  #isReleased = false;

  /** @param layout without the spare slots; count is the number of threads */
  constructor(layout: SlotsLayout) {
    this.#threads = layout.count;
    const spare = Math.min(SPARE_SLOTS, Math.floor(MAX_SPARE_BYTES / layout.bytes), MAX_SLOTS - layout.count);
    const count = layout.count + spare;
    this.slots = Slots.create({ ...layout, count });
    this.#usedBytes = new Float64Array(count);
    for (let slot = count - 1; slot >= 0; slot--) (this.#isSpare(slot) ? this.#spare : this.#main).push(slot);
  }

  /** What a process may have mapped of it: what jobs have used, and all of the slots whose jobs may be running. */
  get inUseBytes(): number {
    return this.#keptBytes + this.#threads * this.slots.layout.bytes;
  }

  /** A slot for a job, or undefined where there is none for its size. @param mayBeMain false for one that only lies ahead */
  take(inputBytes: number, mayBeMain: boolean): number | undefined {
    const slot = inputBytes <= MAX_SPARE_INPUT_BYTES ? this.#spare.pop() : undefined;
    return slot ?? (mayBeMain ? this.#main.pop() : undefined);
  }

  /** Whether outputs may stay in it until they are sent. */
  mayLend(slot: number): boolean {
    return this.#isSpare(slot);
  }

  /** A lent slot is one that its job has left. */
  lend(): void {
    this.#lent++;
  }

  /** It comes back from whom it was lent to. */
  giveBackLent(slot: number): void {
    this.#lent--;
    if (!this.#isReleased) this.give(slot);
    else if (this.#lent === 0) this.slots.release();
  }

  /** Nobody uses the slot any more. */
  give(slot: number): void {
    if (!this.#isSpare(slot)) {
      this.#main.push(slot);
      return;
    }
    if (this.#keptBytes > MAX_KEPT_BYTES) {
      this.slots.empty(slot);
      this.#keptBytes -= this.#usedBytes[slot]!;
      this.#usedBytes[slot] = 0;
    }
    this.#spare.push(slot);
  }

  /** A job used the slot's memory up to there. */
  noteUse(slot: number, bytes: number): void {
    const used = this.#usedBytes[slot]!;
    if (bytes <= used || !this.#isSpare(slot)) return;
    this.#keptBytes += bytes - used;
    this.#usedBytes[slot] = bytes;
  }

  /** Gives the memory back, as soon as nothing of it is on its way to a client. No process uses it any more. */
  release(): void {
    this.#isReleased = true;
    if (this.#lent === 0) this.slots.release();
  }

  #isSpare(slot: number): boolean {
    return slot >= this.#threads;
  }
}
