import { monotonicNs } from "../clock/index.ts";
import { SignetError } from "../errors.ts";
import type { Progress, RunReply } from "../plugin/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import type { Entry, EntryOwner, Lateness } from "./entry.ts";
import type { HostProcess } from "./host-process.ts";
import type { RunningJob } from "./job.ts";
import type { Line } from "./line.ts";
import { tensorsFromReply } from "./output.ts";
import { LentResult } from "./result.ts";
import { RunTime } from "./run-time.ts";
import type { SlotPool } from "./slot-pool.ts";
import type { Supervisor } from "./supervisor.ts";
import { Turns } from "./turns.ts";
import { Writers } from "./writers.ts";

export interface DispatcherOptions {
  /** The service. */
  readonly name: string;
  /** Jobs that may run at the same time. */
  readonly concurrency: number;
  readonly outputs: readonly TensorSpec[];
  /** How long a plugin may take to stop when it is asked to. */
  readonly cancelGraceMs: number;
  /** Where its jobs come from, and wait again when they are taken back. */
  readonly line: Line;
  /** Its slots are those that the supervisor's processes have. */
  readonly pool: SlotPool;
  readonly supervisor: Supervisor;
  /** Nothing is in the process any more, and nothing waits. */
  readonly onIdle: () => void;
}

/** Of a job that never began, although so many processes had it: it may be what ends them. */
const MAX_LOSSES = 2;

/**
 * Takes jobs from a service's line to its process and sees to them until they have really ended there: slots, turns,
 * the limit on a run, the grace to stop. Where jobs are short, some of those that wait are laid into the process's ring
 * ahead of their turn. Jobs that still wait are its own too: a batch is made of those, and what is taken back is one again.
 */
export class Dispatcher implements EntryOwner {
  readonly #name: string;
  readonly #options: DispatcherOptions;
  readonly #line: Line;
  readonly #pool: SlotPool;
  readonly #supervisor: Supervisor;
  readonly #turns = new Turns<Entry>();
  readonly #runTime = new RunTime();
  readonly #writers = new Writers();
  /** Which has the jobs; it may be ending. */
  #host: HostProcess | undefined;

  constructor(options: DispatcherOptions) {
    this.#name = options.name;
    this.#options = options;
    this.#line = options.line;
    this.#pool = options.pool;
    this.#supervisor = options.supervisor;
  }

  /** Jobs whose turn it is. */
  get running(): number {
    return this.#turns.running.size;
  }

  /** The same, each of them. */
  get runningJobs(): readonly RunningJob[] {
    return [...this.#turns.running];
  }

  /** The jobs that may have printed what was not there to be read at that time. */
  writersSince(ms: number): readonly string[] {
    return this.#writers.since(ms, this.#turns.running);
  }

  /** Jobs in the process that wait for their turn there. */
  get ahead(): number {
    return this.#turns.ahead.length;
  }

  /** Jobs in the process. */
  get size(): number {
    return this.#turns.size;
  }

  /** Turns at the same time: as many as the process has threads, which is one where the plugin takes one job at a time. */
  get mostRunning(): number {
    return this.#supervisor.facts?.plugin.threading === "single" ? 1 : this.#options.concurrency;
  }

  /** What its plugin says of a job that has its turn; undefined of any other. */
  progressOf(entry: Entry): Progress | undefined {
    return this.#turns.running.has(entry) ? this.#pool.slots.progress(entry.slot) : undefined;
  }

  /** Gives the process what it can take of what waits. */
  fill(): void {
    const { host } = this.#supervisor;
    if (!host) return;
    this.#host = host;
    while (this.#line.length > 0) {
      // A job that ignores its cancel word is about to cost the process its life; nothing new joins it there.
      for (const { isOverdue } of this.#turns.running) if (isOverdue) return;
      const hasTurn = this.running < this.mostRunning;
      if (!hasTurn && (this.#line.isBatching || this.ahead >= this.#runTime.worthAhead)) return;
      const bytes = this.#line.choose();
      if (bytes === undefined) return;
      const slot = this.#pool.take(bytes, hasTurn);
      if (slot === undefined) return;
      this.#give(host, this.#line.takeChosen(this), slot);
    }
  }

  /** Lays a job into a slot and hands it to the process, now or ahead of its turn. */
  #give(host: HostProcess, entry: Entry, slot: number): void {
    const { job } = entry;
    const { slots } = this.#pool;
    const startedMs = performance.now();
    try {
      const inputs = entry.prepare(this.#name, slots.data(slot));
      slots.task(slot).write(inputs.places, inputs.end);
      this.#pool.noteUse(slot, inputs.end);
    } catch (error) {
      this.#pool.give(slot);
      entry.end();
      entry.fail(SignetError.from(error));
      this.#noteIdle();
      return;
    }
    const nowMs = performance.now();
    entry.inputMs = nowMs - startedMs;
    entry.slot = slot;
    slots.resetControl(slot, monotonicNs(Math.min(job.deadlineMs, nowMs + job.runLimitMs)));
    if (this.#turns.add(entry, this.mostRunning)) this.#takeTurn(entry);
    host.run(slot, entry, this.#runTime.expectedUs);
  }

  #takeTurn(entry: Entry): void {
    entry.takeTurn();
    // A thread had it before its turn, and it gave up meanwhile.
    if (entry.abandoned) entry.allow(this.#options.cancelGraceMs);
  }

  /** The process is done with a job. */
  replied(entry: Entry, reply: RunReply | null): void {
    const { slot } = entry;
    const repliedMs = performance.now();
    let result: LentResult | undefined;
    let runsApart = false;
    try {
      const mayLend = this.#pool.mayLend(slot);
      const outputs = tensorsFromReply(this.#name, reply, this.#options.outputs, this.#pool.slots.data(slot), mayLend);
      this.#supervisor.recordSuccess();
      const { runUs, outputs: places } = reply as Extract<RunReply, { ok: true }>;
      this.#runTime.add(runUs);
      for (const { offset, bytes } of places) this.#pool.noteUse(slot, offset + bytes);
      result = new LentResult(entry, outputs, runUs / 1000, repliedMs, this.#pool);
    } catch (error) {
      const failure = SignetError.from(error);
      // A process that contradicts itself is not trusted with another job.
      if (failure.code === "SERVICE_PROTOCOL") this.#host?.kill(failure);
      runsApart = entry.canRunApart(failure);
      if (!runsApart) entry.fail(failure);
    }
    if (!runsApart) this.#leave(entry, repliedMs);
    else for (const each of this.#goBack(entry)) each.isAlone = true;
    if (result === undefined || !this.#pool.mayLend(slot)) this.#pool.give(slot);
    if (result !== undefined) entry.succeed(result);
    this.#afterRun();
  }

  /** The process has ended. What it had not begun waits for the next one, unless too many processes ended like that. */
  lost(entry: Entry, reason: SignetError): void {
    const { slot } = entry;
    if (this.#pool.slots.task(slot).recall()) {
      for (const each of this.#goBack(entry)) if (++each.losses > MAX_LOSSES) this.cancel(each, reason);
    } else {
      this.#leave(entry, performance.now());
      entry.fail(reason);
    }
    this.#pool.give(slot);
    this.#afterRun();
  }

  /** A job that ran has left its slot, and another has its turn. */
  #leave(entry: Entry, nowMs: number): void {
    this.#writers.ended(entry, nowMs);
    entry.end();
    entry.charge!.ended();
    const next = this.#turns.end(entry);
    if (next !== undefined) this.#takeTurn(next);
  }

  /** A job that was taken back waits again, or each of those that it was made of. */
  #goBack(entry: Entry): readonly Entry[] {
    entry.charge!.takenBack();
    const next = this.#turns.end(entry);
    if (next !== undefined) this.#takeTurn(next);
    const waiting = entry.waitAgain();
    this.#line.putBack(waiting);
    return waiting;
  }

  /**
   * Jobs lie ahead because runs are short. Where one is not, those behind it wait in the queue again, in order of
   * priority and for whichever thread is free.
   */
  recallFromLong(): void {
    const { ahead, running } = this.#turns;
    if (ahead.length === 0) return;
    const nowMs = performance.now();
    for (const { turnMs } of running) this.#runTime.atLeast((nowMs - turnMs) * 1000);
    if (this.#runTime.worthAhead > 0) return;
    for (const entry of [...ahead].reverse()) if (this.#recall(entry)) this.#goBack(entry);
  }

  /** Takes a job back from its process, which then skips it. False where a thread has it already. */
  #recall(entry: Entry): boolean {
    const { slot } = entry;
    if (!this.#pool.slots.task(slot).recall()) return false;
    this.#host?.exchangeWaiter(slot, {
      ended: (reply) => {
        if (reply?.ok !== false || reply.reason !== "skipped") {
          this.#host?.kill(new SignetError("SERVICE_PROTOCOL", `${this.#name}: ran a job that was taken back`));
        }
        this.#pool.give(slot);
        this.fill();
      },
      lost: () => this.#pool.give(slot),
    });
    return true;
  }

  #afterRun(): void {
    this.#killIfOnlyOverdue();
    if (this.#supervisor.refusal && this.#turns.size === 0) void this.#supervisor.end();
    this.fill();
    this.#noteIdle();
  }

  /** Whoever stops the service waits for this, however the last job left it. */
  #noteIdle(): void {
    if (this.size + this.#line.length === 0) this.#options.onIdle();
  }

  /** The clock's word about a job. */
  late(entry: Entry, what: Lateness): void {
    const { job } = entry;
    switch (what) {
      case "deadline":
        this.cancel(entry, new SignetError("DEADLINE_EXCEEDED", `${this.#name}: no result before the call's deadline`));
        break;
      case "queue": {
        if (this.#line.delay(entry)) break;
        const message = `${this.#name}: waited ${entry.queueTimeoutMs} ms for its turn`;
        this.cancel(entry, new SignetError("DEADLINE_EXCEEDED", message));
        break;
      }
      case "run": {
        // The license's limit on one job: unlike the caller's deadline it does not leave the choice to the plugin.
        const message = `${this.#name}: the license allows a job ${job.runLimitMs} ms, it took longer`;
        entry.isOverLimit = true;
        this.cancel(entry, new SignetError("JOB_TIME_EXCEEDED", message));
        entry.allow(this.#options.cancelGraceMs);
        break;
      }
      case "grace":
        entry.isOverdue = true;
        if (entry.isOverLimit) this.#host?.kill(this.#unstoppableError(entry.abandoned!.message));
        else this.#killIfOnlyOverdue();
    }
  }

  /** Answers the caller now. A job that runs is asked to stop; its slot is free when it really has. */
  cancel(entry: Entry, error: SignetError): void {
    if (entry.abandoned || entry.isAnswered) return;
    if (!entry.hasTurn && entry.slot >= 0 && this.#recall(entry)) this.#goBack(entry);
    entry.abandoned = error;
    if (entry.slot < 0) {
      this.#line.remove(entry);
      entry.end();
      entry.fail(error);
      entry.batch?.memberLeft(error);
      this.#noteIdle();
    } else {
      this.#pool.slots.requestCancel(entry.slot);
      entry.fail(error);
      if (entry.hasTurn) entry.allow(this.#options.cancelGraceMs);
    }
  }

  /** Jobs of other callers are never ended because one caller's job will not stop: the process waits for them. */
  #killIfOnlyOverdue(): void {
    const entries = [...this.#turns.running];
    if (entries.length === 0 || !entries.every((entry) => entry.isOverdue)) return;
    void this.#supervisor.end(this.#unstoppableError(entries[0]!.abandoned!.message));
  }

  /** For the others whose jobs the process takes along, and for the log. Who asked it to stop has had its answer. */
  #unstoppableError(why: string): SignetError {
    return new SignetError("SERVICE_CRASHED", `${this.#name}: its process was ended, a job would not stop (${why})`);
  }
}
