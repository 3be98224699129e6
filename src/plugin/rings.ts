import { waitForWord, wakeSome } from "./libc.ts";

/** One page: words on cache lines of their own, then the two rings. */
export const RINGS_BYTES = 4096;
/** Entries of each ring; a slot is in it at most once, so that it never overflows. */
const RING_ENTRIES = 256;

// Indices of 32-bit words. Counters wrap around and are only compared for equality.
const SUBMITTED = 0;
const TAKEN = 16;
const SLEEPERS = 32;
const COMPLETED = 48;
const IS_GATEWAY_ASLEEP = 64;
const SUBMISSIONS = 256;
const COMPLETIONS = SUBMISSIONS + RING_ENTRIES;

/**
 * How slots go from the gateway to the threads of a service host and back: a submission ring that the gateway fills
 * and any thread takes from, and a completion ring the other way, in memory that both have. No message is sent for a
 * job. A thread that finds nothing sleeps on a futex, from which the gateway wakes it once for all that it submitted;
 * a gateway that has seen everything says so, and a thread wakes it through a pipe once for all that it completed.
 * Whoever is awake already is not woken.
 *
 * The child is not trusted. The gateway's own counters are in its own memory, and of what it reads here it believes
 * nothing: a number that is no slot in use is the caller's to refuse, and no call returns more than there are entries.
 */
export class Rings {
  readonly #words: Int32Array;
  readonly #submittedAddress: bigint;
  #submitted = 0;
  #completed = 0;

  /** @param page RINGS_BYTES of shared memory @param address of that page in this process */
  constructor(page: Uint8Array, address: bigint) {
    this.#words = new Int32Array(page.buffer, page.byteOffset, RINGS_BYTES / 4);
    this.#submittedAddress = address + BigInt(SUBMITTED * 4);
  }

  /** The gateway's, before another process gets the memory. */
  reset(): void {
    this.#words.fill(0);
    this.#submitted = 0;
    this.#completed = 0;
    this.sleep();
  }

  /** The gateway's: a slot for whichever thread is free. Those that sleep are to be woken afterwards. */
  submit(slot: number): void {
    Atomics.store(this.#words, SUBMISSIONS + (this.#submitted % RING_ENTRIES), slot);
    this.#submitted = (this.#submitted + 1) >>> 0;
    Atomics.store(this.#words, SUBMITTED, this.#submitted | 0);
  }

  /** The gateway's: how many slots no thread has taken, as the child has it. */
  get untaken(): number {
    const count = (this.#submitted - Atomics.load(this.#words, TAKEN)) | 0;
    return Math.min(Math.max(0, count), RING_ENTRIES);
  }

  /**
   * The gateway's: wakes threads that sleep, at most so many and no more than there are slots to take.
   * @returns whether others sleep on though there is a slot for them
   */
  wake(most: number): boolean {
    const useful = Math.min(this.untaken, Atomics.load(this.#words, SLEEPERS));
    if (useful <= 0) return false;
    wakeSome(this.#submittedAddress, Math.min(useful, most));
    return useful > most;
  }

  /** The gateway's: a slot whose job has ended, or undefined. Any number, where the child writes nonsense. */
  takeCompleted(): number | undefined {
    const at = COMPLETIONS + (this.#completed % RING_ENTRIES);
    const entry = Atomics.exchange(this.#words, at, 0);
    if (entry === 0) return undefined;
    this.#completed = (this.#completed + 1) >>> 0;
    return entry - 1;
  }

  /** The gateway's: it wants to be woken from now on. What was completed just before must be looked for once more. */
  sleep(): void {
    Atomics.store(this.#words, IS_GATEWAY_ASLEEP, 1);
  }

  /** A thread's: the next slot; -1 where there is none now. */
  tryTake(): number {
    const words = this.#words;
    for (;;) {
      const taken = Atomics.load(words, TAKEN);
      if (taken === Atomics.load(words, SUBMITTED)) return -1;
      const slot = Atomics.load(words, SUBMISSIONS + ((taken >>> 0) % RING_ENTRIES));
      if (Atomics.compareExchange(words, TAKEN, taken, (taken + 1) | 0) === taken) return slot;
    }
  }

  /** A thread's: the next slot. Blocks the thread until there is one. */
  take(): number {
    const words = this.#words;
    for (;;) {
      const submitted = Atomics.load(words, SUBMITTED);
      const slot = this.tryTake();
      if (slot >= 0) return slot;
      Atomics.add(words, SLEEPERS, 1);
      waitForWord(this.#submittedAddress, submitted);
      Atomics.sub(words, SLEEPERS, 1);
    }
  }

  /** A thread's: the job in the slot has ended. The gateway is to be told, now or with others. */
  complete(slot: number): void {
    const words = this.#words;
    const at = Atomics.add(words, COMPLETED, 1) >>> 0;
    Atomics.store(words, COMPLETIONS + (at % RING_ENTRIES), slot + 1);
  }

  /** A thread's, after `complete`: true if the gateway sleeps and this thread is the one to wake it. */
  mustWakeGateway(): boolean {
    return Atomics.exchange(this.#words, IS_GATEWAY_ASLEEP, 0) === 1;
  }
}
