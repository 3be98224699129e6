import type { SignetError } from "../errors.ts";
import type { RunReply, Slots } from "../plugin/index.ts";
import { Bell } from "./bell.ts";

/** Somebody who waits for the job in a slot. Exactly one of the two is called, once. */
export interface Waiter {
  /** The process is done with the job; null where it says of it what cannot be. */
  ended(reply: RunReply | null): void;
  /** The process has ended. */
  lost(reason: SignetError): void;
}

/** So much work is worth waking another thread for; less is done sooner by one that is awake. */
const WAKE_US = 100;
/** How soon this process looks by itself after jobs that were given together: one may take longer than expected. */
const LOOK_MS = 2;

/**
 * How jobs get to the threads of one process and back: through the rings of its slots. Threads are woken once for all
 * jobs of a turn of the event loop, and what has ended is taken from the ring for as long as something is found there;
 * only then does the process have to ring the bell.
 */
export class Exchange {
  readonly #slots: Slots;
  readonly #bell: Bell;
  readonly #onNonsense: (what: string) => void;
  readonly #onLook: () => void;
  /** By slot. */
  readonly #waiters: (Waiter | undefined)[];
  #given = 0;
  #knocks = 0;
  #outstanding = 0;
  #expectedRunUs = Number.POSITIVE_INFINITY;
  #isWakeDue = false;
  #isLookDue = false;
  #lookTimer: NodeJS.Timeout | undefined;
  #isOver = false;

  /**
   * @param onNonsense the process says what cannot be; it is not believed any more
   * @param onLook called now and then while jobs lie ahead: it is time to see whether they should
   */
  constructor(slots: Slots, onNonsense: (what: string) => void, onLook: () => void) {
    this.#slots = slots;
    this.#onNonsense = onNonsense;
    this.#onLook = onLook;
    this.#waiters = new Array(slots.count).fill(undefined);
    slots.rings.reset();
    this.#bell = new Bell((knocks) => this.#answerBell(knocks));
  }

  /** The process's end of the bell, to be inherited. */
  get fd(): number {
    return this.#bell.fd;
  }

  /** The process has its end. */
  handedOver(): void {
    this.#bell.handedOver();
  }

  /** Gives the job whose inputs and task were written into `slot` to the threads. @param expectedRunUs Infinity if unknown */
  give(slot: number, waiter: Waiter, expectedRunUs: number): void {
    this.#given++;
    this.#outstanding++;
    this.#expectedRunUs = expectedRunUs;
    this.#waiters[slot] = waiter;
    this.#slots.rings.submit(slot);
    if (this.#isWakeDue) return;
    this.#isWakeDue = true;
    process.nextTick(this.#wake);
  }

  /** The job in a slot was taken back, and somebody else waits for the slot. */
  exchangeWaiter(slot: number, waiter: Waiter): void {
    this.#waiters[slot] = waiter;
  }

  /** Takes what has ended, also where the process rings no more. */
  takeCompleted(): number {
    const { rings } = this.#slots;
    let count = 0;
    for (let slot = rings.takeCompleted(); slot !== undefined; slot = rings.takeCompleted()) {
      if (this.#isOver || !this.#settle(slot)) return 0;
      count++;
    }
    return count;
  }

  /** Nothing the process says is believed from now on. */
  stopListening(): void {
    this.#isOver = true;
  }

  /** The process is gone, and every job in it with it. */
  close(reason: SignetError): void {
    this.#isOver = true;
    this.#bell.close();
    clearTimeout(this.#lookTimer);
    for (const [slot, waiter] of this.#waiters.entries()) {
      this.#waiters[slot] = undefined;
      waiter?.lost(reason);
    }
  }

  readonly #wake = (): void => {
    this.#isWakeDue = false;
    if (this.#isOver) return;
    const { rings } = this.#slots;
    const threads = Math.max(1, Math.ceil((rings.untaken * this.#expectedRunUs) / WAKE_US));
    const isSomebodyAsleep = rings.wake(threads);
    // Jobs were given on the strength of an expectation.
    if (isSomebodyAsleep || this.#outstanding > 1) this.#lookLater();
  };

  #lookLater(): void {
    this.#lookTimer ??= setTimeout(() => {
      this.#lookTimer = undefined;
      this.takeCompleted();
      if (this.#isOver) return;
      this.#slots.rings.wake(this.#slots.count);
      this.#onLook();
      if (this.#outstanding > 1 && !this.#isOver) this.#lookLater();
    }, LOOK_MS);
  }

  #answerBell(knocks: number): void {
    this.#knocks += knocks;
    // Nobody knocks more than once for a job; who does would keep this process from everything else.
    if (this.#knocks > this.#given) {
      this.#onNonsense("word of a job it was not given");
      return;
    }
    this.#look();
  }

  /** Takes what there is, and looks again at the end of the turn if there was something: more may have ended by then. */
  #look(): void {
    if (this.takeCompleted() > 0 && this.#outstanding > 0) {
      if (this.#isLookDue) return;
      this.#isLookDue = true;
      setImmediate(this.#lookAgain);
      return;
    }
    // Once more after saying so: what was completed just before got no knock.
    this.#slots.rings.sleep();
    this.takeCompleted();
  }

  readonly #lookAgain = (): void => {
    this.#isLookDue = false;
    if (!this.#isOver) this.#look();
  };

  #settle(slot: number): boolean {
    const waiter = this.#waiters[slot];
    if (!waiter) {
      this.#onNonsense("the answer to a job it was not given");
      return false;
    }
    this.#waiters[slot] = undefined;
    this.#outstanding--;
    waiter.ended(this.#slots.task(slot).readReply());
    return true;
  }
}
