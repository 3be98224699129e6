import { type Deadline, Deadlines } from "../clock/index.ts";
import type { SignetError } from "../errors.ts";
import type { Progress, RunReply } from "../plugin/index.ts";
import type { Tensor } from "../tensor/index.ts";
import type { Batchable } from "./batch.ts";
import type { BatchEntry } from "./batch-entry.ts";
import type { Waiter } from "./exchange.ts";
import { inputBytes, verifyRoom, type WrittenInputs, writeInputs } from "./input.ts";
import type { Charge, Job, JobEnd, JobResult, SubmittedJob } from "./job.ts";

const deadlines = new Deadlines();

/** Who looks after an entry while it is on its way. */
export interface EntryOwner {
  /** Its process is done with it; null where the process says of it what cannot be. */
  replied(entry: Entry, reply: RunReply | null): void;
  /** Its process has ended. */
  lost(entry: Entry, reason: SignetError): void;
  /** Its caller gives up. */
  cancel(entry: Entry, error: SignetError): void;
  /** Its call's deadline has passed, or what it may wait for its turn, or its grace to stop. */
  late(entry: Entry, what: Lateness): void;
  /** What its plugin says of it while it has its turn; undefined else. */
  progressOf(entry: Entry): Progress | undefined;
}

/** How a job waits. */
export interface WaitTerms {
  readonly priority: number;
  /** How long it may wait for its turn, ms; Infinity for as long as its deadline. */
  readonly queueTimeoutMs: number;
  /** How long it may be kept for others to run with it, ms. */
  readonly maxQueueDelayMs: number;
}

export type Lateness = "deadline" | "queue" | "run" | "grace";

/**
 * A job on its way: it waits in the queue, lies ahead in the ring of a process until its turn, runs, and ends. Its
 * caller is answered once, which may be before the job has ended in native code.
 */
export class Entry implements Deadline, Waiter, SubmittedJob, Batchable {
  readonly job: Job;
  readonly enqueuedMs = performance.now();
  /** Smaller runs earlier. */
  readonly priority: number;
  readonly queueTimeoutMs: number;
  readonly keepUntilMs: number;
  /** True once it has waited that long and goes on waiting all the same, behind those that have not. */
  isDelayed = false;
  isAlone = false;
  /** What it runs in together with others. */
  batch: BatchEntry | undefined;
  /** Where in shared memory its tensors are; -1 while it waits in the queue. */
  slot = -1;
  /** When its turn was; NaN before. */
  turnMs = Number.NaN;
  /** Time that its inputs took to be laid out. */
  inputMs = 0;
  charge: Charge | undefined;
  /** Why the caller was already answered, while native code may still run. */
  abandoned: SignetError | undefined;
  /** True once the plugin ignored a request to stop for longer than the grace period. */
  isOverdue = false;
  /** True once it took longer than the license allows a job. */
  isOverLimit = false;
  /** Processes that ended with it before its turn. */
  losses = 0;

  deadlineMs: number;
  bucket = -1;
  previous: Deadline | null = null;
  next: Deadline | null = null;

  readonly #owner: EntryOwner;
  readonly #end: JobEnd;
  #queueEndMs: number;
  #runEndMs = Number.POSITIVE_INFINITY;
  #graceEndMs = Number.POSITIVE_INFINITY;
  #isAnswered = false;

  constructor(job: Job, end: JobEnd, owner: EntryOwner, { priority, queueTimeoutMs, maxQueueDelayMs }: WaitTerms) {
    this.job = job;
    this.priority = priority;
    this.queueTimeoutMs = queueTimeoutMs;
    this.#end = end;
    this.#owner = owner;
    this.#queueEndMs = this.enqueuedMs + this.queueTimeoutMs;
    // Who would have given up by then is not kept for others.
    const keepUntilMs = this.enqueuedMs + maxQueueDelayMs;
    this.keepUntilMs = keepUntilMs < Math.min(this.#queueEndMs, job.deadlineMs) ? keepUntilMs : 0;
    this.deadlineMs = Math.min(job.deadlineMs, this.#queueEndMs);
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) deadlines.add(this);
  }

  get inputs(): readonly Tensor[] {
    return this.job.inputs;
  }

  /** Of the jobs that it is. */
  get ids(): readonly string[] {
    const { id } = this.job;
    return id === undefined ? [] : [id];
  }

  /** Bytes that its inputs take in a slot. */
  get bytes(): number {
    return inputBytes(this.job.inputs);
  }

  get hasTurn(): boolean {
    return !Number.isNaN(this.turnMs);
  }

  /** In a batch it is that of all. */
  get progress(): Progress | undefined {
    return this.#owner.progressOf(this.batch ?? this);
  }

  /**
   * Charges it and lays its inputs into its slot, so that native code may run it.
   * @throws REQUEST_TOO_LARGE, and what refuses the job
   */
  prepare(service: string, slot: Uint8Array): WrittenInputs {
    verifyRoom(service, this.inputs, slot);
    this.charge = this.job.begin();
    return writeInputs([this.inputs], slot);
  }

  /** Its turn is now: native code runs it, as far as can be told from outside. */
  takeTurn(): void {
    this.turnMs = performance.now();
    this.#runEndMs = this.turnMs + this.job.runLimitMs;
    this.charge?.started(true);
    this.#schedule();
  }

  /** The same in a batch, which has the limit on its run. */
  takeTurnWith({ turnMs }: BatchEntry): void {
    this.turnMs = turnMs;
    this.#schedule();
  }

  leaveBatch(): void {
    this.batch = undefined;
    this.end();
  }

  /** It was taken back before its result. @returns what waits again: itself, or members of a batch, if somebody waits for them */
  waitAgain(): readonly Entry[] {
    this.slot = -1;
    this.turnMs = Number.NaN;
    this.#runEndMs = Number.POSITIVE_INFINITY;
    this.charge = undefined;
    if (this.#isAnswered) {
      this.end();
      return [];
    }
    this.#schedule();
    return [this];
  }

  /** Whether what failed so together is to run again one by one. */
  canRunApart(_failure: SignetError): boolean {
    return false;
  }

  /** It was asked to stop and gets so long for it. */
  allow(graceMs: number): void {
    this.#graceEndMs = performance.now() + graceMs;
    this.#schedule();
  }

  /** Whether its caller waits no more. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Answers the caller, if nobody has. */
  fail(error: SignetError): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#end.failed(error);
  }

  /** The same with a result; where nobody wants it any more, it is released. */
  succeed(result: JobResult): void {
    if (this.#isAnswered) {
      result.release();
      return;
    }
    this.#isAnswered = true;
    this.#end.succeeded(result);
  }

  /** The job has ended, in the queue or in native code: nothing about it happens later. */
  end(): void {
    deadlines.remove(this);
  }

  cancel(error: SignetError): void {
    this.#owner.cancel(this, error);
  }

  // ---- what its process and the clock tell ----

  ended(reply: RunReply | null): void {
    this.#owner.replied(this, reply);
  }

  lost(reason: SignetError): void {
    this.#owner.lost(this, reason);
  }

  onDeadline(): void {
    const nowMs = performance.now();
    if (this.#graceEndMs <= nowMs) {
      this.#graceEndMs = Number.POSITIVE_INFINITY;
      this.#schedule();
      this.#owner.late(this, "grace");
    } else if (this.#runEndMs <= nowMs) {
      this.#runEndMs = Number.POSITIVE_INFINITY;
      this.#schedule();
      this.#owner.late(this, "run");
    } else if (this.#queueEndMs <= nowMs && !this.hasTurn) {
      this.#queueEndMs = Number.POSITIVE_INFINITY;
      this.#schedule();
      this.#owner.late(this, this.job.deadlineMs <= nowMs ? "deadline" : "queue");
    } else {
      this.#owner.late(this, "deadline");
    }
  }

  /** The next time at which there is something to see to. */
  #schedule(): void {
    deadlines.remove(this);
    const answerByMs = this.#isAnswered ? Number.POSITIVE_INFINITY : this.job.deadlineMs;
    this.deadlineMs = Math.min(answerByMs, this.#runEndMs, this.#graceEndMs);
    if (!this.hasTurn) this.deadlineMs = Math.min(this.deadlineMs, this.#queueEndMs);
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) deadlines.add(this);
  }
}
