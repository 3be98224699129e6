import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

export interface LedgerClock {
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Milliseconds by a clock that nobody sets and that goes on while the machine is up. */
  monotonicMs(): number;
  /** Names the time from one start of the machine to the next; monotonic readings compare only within it. */
  bootId?(): string;
  /** Calls back once; returns how to prevent it. Must not keep the process alive. */
  schedule?(delayMs: number, callback: () => void): () => void;
}

// performance.now() is the same CLOCK_MONOTONIC as hrtime, counted from another moment, and allocates nothing.
const monotonicBaseMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

const systemClock: Required<LedgerClock> = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now() + monotonicBaseMs,
  bootId: readBootId,
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Fills what a clock leaves out with the system's. */
export function completeClock(clock: LedgerClock = systemClock): Required<LedgerClock> {
  return {
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    bootId: () => clock.bootId?.() ?? systemClock.bootId(),
    schedule: (delayMs, callback) => (clock.schedule ?? systemClock.schedule)(delayMs, callback),
  };
}

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
  } catch {
    return randomBytes(4).toString("hex"); // unknown: then no two openings are taken to share a boot
  }
}
