import type { LedgerEntry } from "./ledger-record.ts";
import type { Account } from "./ledger-state.ts";
import type { Limits } from "./schema.ts";

const FIRST_LEASE = 64;
const LARGEST_LEASE = 4096;
/** A crash may cost at most this part of the runs that remain. */
const LEASE_PART = 1 / 100;
/** A lease that is used up faster than this is followed by one twice as large. */
const LEASE_LASTS_MS = 1000;

/** A run that was charged. It is made by `Ledger.charge` and handed back to `settle` or `cancel`. */
export class RunTicket {
  /** Null once the run has been settled or cancelled. */
  meter: Meter | null;
  /** By the monotonic clock; NaN before it has started. */
  startMs = Number.NaN;
  /** Run time in ms by the monotonic clock, once settled. */
  durationMs = 0;

  constructor(meter: Meter) {
    this.meter = meter;
  }
}

/** The live side of an account: counts runs and measures run time in memory, and says what to write when. */
export class Meter {
  readonly account: Account;
  /** Runs that were started, exactly. At most what is paid for: charged or leased. */
  used: number;
  inFlight = 0;
  /** Whether anything has happened since the last beat. */
  #stirred = false;
  #finishedMs: number;
  /** Sum of the start times of all runs in flight: their run time is then inFlight × now − this. */
  #startedSumMs = 0;
  #leaseSize = FIRST_LEASE;
  #leasedAtMs = Number.NEGATIVE_INFINITY;

  constructor(account: Account) {
    this.account = account;
    this.used = account.runs;
    this.#finishedMs = account.runTimeMs;
  }

  get needsLease(): boolean {
    return this.used >= this.account.runs + this.account.leased;
  }

  runTimeMs(nowMs: number): number {
    return this.#finishedMs + this.inFlight * nowMs - this.#startedSumMs;
  }

  /** Counts a run that is about to start. */
  charge(): RunTicket {
    this.used++;
    this.#stirred = true;
    return new RunTicket(this);
  }

  /** The run has started: its time counts from now on. */
  start(ticket: RunTicket, nowMs: number): void {
    ticket.startMs = nowMs;
    this.inFlight++;
    this.#startedSumMs += nowMs;
  }

  finish(ticket: RunTicket, nowMs: number): number {
    ticket.meter = null;
    if (Number.isNaN(ticket.startMs)) return 0;
    ticket.durationMs = Math.max(0, nowMs - ticket.startMs);
    this.#finishedMs += ticket.durationMs;
    this.#leave(ticket);
    return ticket.durationMs;
  }

  /** Takes a run back that never began: its lease, or what was already charged for it, serves the next run. */
  cancel(ticket: RunTicket): void {
    ticket.meter = null;
    this.used--;
    this.#leave(ticket);
  }

  #leave(ticket: RunTicket): void {
    this.#stirred = true;
    if (Number.isNaN(ticket.startMs)) return;
    this.inFlight--;
    this.#startedSumMs -= ticket.startMs;
    if (this.inFlight === 0) this.#startedSumMs = 0; // so that rounding errors do not add up
  }

  /** The entry that settles all that was used and leases as many runs more as are reasonable, at least one. */
  lease(limits: Pick<Limits, "runs" | "concurrency">, nowMs: number): LedgerEntry & { k: "lease" } {
    return {
      k: "lease",
      ...this.#settlement(nowMs),
      n: this.#leaseFor(limits.runs, nowMs),
      c: limits.concurrency,
    };
  }

  #leaseFor(runs: number | null, nowMs: number): number {
    if (runs === null) return LARGEST_LEASE;
    const remaining = runs - this.account.runs - this.account.leased;
    const hasty = nowMs - this.#leasedAtMs < LEASE_LASTS_MS;
    const size = hasty ? Math.min(this.#leaseSize * 2, LARGEST_LEASE) : this.#leaseSize;
    return Math.max(1, Math.min(size, Math.floor(remaining * LEASE_PART)));
  }

  /** Remembers a lease that has reached the disk. */
  leased(n: number, nowMs: number): void {
    this.#leaseSize = Math.max(n, FIRST_LEASE);
    this.#leasedAtMs = nowMs;
  }

  /** What this beat has to write: a settlement after activity, the return of the lease after none, or nothing. */
  beat(nowMs: number): (LedgerEntry & { k: "settle" }) | null {
    const quiet = !this.#stirred && this.inFlight === 0;
    const settlement = this.#settlement(nowMs);
    const returned = quiet ? this.account.leased - settlement.r : 0;
    const changes = settlement.r > 0 || settlement.d > 0 || returned > 0 || settlement.f !== this.account.inFlight;
    return changes ? { k: "settle", ...settlement, x: returned } : null;
  }

  /** A beat has been written. Returns whether another one is needed. */
  beaten(): boolean {
    const active = this.#stirred || this.inFlight > 0 || this.account.leased > 0;
    if (!this.#stirred && this.inFlight === 0) this.#leaseSize = FIRST_LEASE;
    this.#stirred = false;
    return active;
  }

  /** The last settlement; what is still in flight is charged up to now, and a started millisecond is a whole one. */
  close(nowMs: number): (LedgerEntry & { k: "settle" }) | null {
    const settlement = this.#settlement(nowMs, Math.ceil);
    const returned = this.account.leased - settlement.r;
    const changes = settlement.r > 0 || settlement.d > 0 || returned > 0;
    return changes ? { k: "settle", ...settlement, x: returned } : null;
  }

  #settlement(nowMs: number, round = Math.floor) {
    const { licenseId: l, service: v, runs, leased, runTimeMs } = this.account;
    // Both can be negative after a cancel that came after a settlement; what was charged then serves later runs.
    const r = Math.min(Math.max(0, this.used - runs), leased);
    const d = Math.max(0, round(this.runTimeMs(nowMs)) - runTimeMs);
    return { l, v, r, d, f: this.inFlight };
  }
}
