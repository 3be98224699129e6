import { SignetError } from "../errors.ts";
import type { RunReply } from "../plugin/index.ts";
import type { Entry, EntryOwner, Lateness } from "./entry.ts";
import type { HostFacts, HostProcess } from "./host-process.ts";
import type { Job, JobEnd, JobResult, SubmittedJob } from "./job.ts";
import { Line, type LineOptions } from "./line.ts";
import { tensorsFromReply } from "./output.ts";
import { keepResult, LentResult } from "./result.ts";
import { RunTime } from "./run-time.ts";
import { SlotPool } from "./slot-pool.ts";
import { type ServiceState, Supervisor, type SupervisorOptions } from "./supervisor.ts";
import { Turns } from "./turns.ts";

export interface ServiceRunnerOptions
  extends Omit<SupervisorOptions, "threads" | "pool" | "onLook" | "onReady" | "onGone">,
    LineOptions {
  /** Jobs that may run at the same time. */
  readonly concurrency: number;
  readonly admission: "queue" | "reject";
  /** How long a plugin may take to stop when it is asked to. */
  readonly cancelGraceMs: number;
}

const MAX_TIMER_MS = 2 ** 31 - 1; // setTimeout fires at once beyond this
/** Of a job that never began, although so many processes had it: it may be what ends them. */
const MAX_LOSSES = 2;

/**
 * Gives jobs to one service's process, as many at a time as the license allows; the others wait in its queue. Where jobs
 * are short, some of those that wait are laid into the process's ring ahead of their turn.
 */
export class ServiceRunner implements EntryOwner {
  readonly name: string;
  readonly #options: ServiceRunnerOptions;
  readonly #supervisor: Supervisor;
  readonly #line: Line;
  readonly #pool: SlotPool;
  readonly #turns = new Turns<Entry>();
  readonly #runTime = new RunTime();
  #host: HostProcess | undefined;
  #idle: PromiseWithResolvers<void> | undefined;
  #unloading: Promise<void> | undefined;

  constructor(options: ServiceRunnerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#line = new Line(options, this, () => this.#pump());
    this.#pool = new SlotPool({
      count: options.concurrency,
      bytes: options.slotBytes,
      inputs: options.inputs.length,
      outputs: options.outputs.length,
    });
    this.#supervisor = new Supervisor({
      ...options,
      threads: options.concurrency,
      pool: this.#pool,
      onLook: () => this.#recallFromLong(),
      onReady: () => this.#pump(),
      onGone: () => {
        this.#line.rejectAll(this.#supervisor.refusal ?? this.#goneError());
        this.#idle?.resolve();
      },
    });
  }

  get state(): ServiceState {
    return this.#supervisor.state;
  }

  /** Why its process last ended; undefined if none has. */
  get lastError(): SignetError | undefined {
    return this.#supervisor.lastError;
  }

  /** What the plugin said about itself; undefined before it was first ready. */
  get facts(): HostFacts | undefined {
    return this.#supervisor.facts;
  }

  /** Jobs that wait for their turn, wherever. */
  get queued(): number {
    return this.#line.length + this.#turns.ahead.length;
  }

  get running(): number {
    return this.#turns.running.size;
  }

  /** Room for the tensors of one job, bytes. */
  get roomBytes(): number {
    return this.#pool.slots.layout.bytes;
  }

  /** Private memory of the service's process, bytes; 0 where there is none. */
  get memoryBytes(): number {
    return this.#supervisor.memoryBytes;
  }

  /** The pid of the service's process, for tests and status. */
  get pid(): number | undefined {
    return this.#supervisor.pid;
  }

  /** Starts the process. Resolves with null when it is ready, else with the error of this try; others follow. */
  start(): Promise<SignetError | null> {
    return this.#supervisor.start();
  }

  /**
   * Runs a job, or lets it wait for its turn. It fails when it is refused, cancelled, late, or its process ends. The
   * caller is answered at its deadline even if the plugin goes on.
   */
  enter(job: Job, end: JobEnd): SubmittedJob {
    const refusal = this.#admissionRefusal(job);
    if (refusal) {
      end.failed(refusal);
      return refused;
    }
    const entry = this.#line.enter(job, end);
    if (this.#line.isBatching) this.#line.lookSoon();
    else this.#pump();
    return entry;
  }

  /** The same as a promise, of a result with outputs of its own. @param signal the caller going away */
  submit(job: Job, signal?: AbortSignal): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const cancelled = () => new SignetError("CANCELLED", `${this.name}: the caller cancelled`);
      if (signal?.aborted) {
        reject(cancelled());
        return;
      }
      const onAbort = () => submitted.cancel(cancelled());
      const submitted = this.enter(job, {
        succeeded: (result) => {
          signal?.removeEventListener("abort", onAbort);
          resolve(keepResult(result));
        },
        failed: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** A plugin that takes one job at a time gets one: a job that waited inside its process would be charged for it. */
  get #mostRunning(): number {
    return this.facts?.plugin.threading === "single" ? 1 : this.#options.concurrency;
  }

  #admissionRefusal(job: Job): SignetError | undefined {
    const { admission, maxQueue } = this.#options;
    const refuse = (code: ConstructorParameters<typeof SignetError>[0], message: string) =>
      new SignetError(code, `${this.name}${message}`, { cause: this.#supervisor.lastError });
    if (job.deadlineMs <= performance.now()) {
      return refuse("DEADLINE_EXCEEDED", ": the call's deadline had passed when it arrived");
    }
    if (this.#supervisor.refusal) return this.#supervisor.refusal;
    if (this.state === "stopped" || this.state === "unloaded") return this.#goneError();
    const isReady = this.state === "ready";
    const hasTurn = isReady && this.running < this.#mostRunning;
    if (hasTurn && this.#line.length === 0) return undefined;
    if (admission === "reject" && !isReady) return refuse("SERVICE_NOT_READY", ` is ${this.state}`);
    // What waits while a worker is free waits for others to run with it.
    if (admission === "reject" && !(hasTurn && this.#line.isBatching)) {
      return refuse("SERVICE_BUSY", `: ${this.running} of ${this.#mostRunning} jobs are running`);
    }
    if (this.queued >= maxQueue) return refuse("QUEUE_FULL", `: ${this.queued} calls wait, at most ${maxQueue} may`);
    const most = this.#line.exceededLimit(job);
    if (most !== undefined) return refuse("QUEUE_FULL", `: ${most} calls of its priority wait, no more may`);
    return undefined;
  }

  /** Stops the service for good because of what second authorization found. Running jobs end as they will. */
  refuse(error: SignetError): void {
    if (!this.#supervisor.refuse(error)) return;
    this.#line.rejectAll(error);
    if (this.#turns.size === 0) void this.#supervisor.end();
  }

  /** Takes no more jobs, lets those it has end within `drainMs` (Infinity for all), then ends the process. */
  async stop(drainMs: number): Promise<void> {
    if (this.state === "stopped") return;
    const wasReady = this.state === "ready";
    this.#supervisor.stop();
    await this.#drain(wasReady, drainMs);
  }

  /**
   * Ends the process as `stop` does, but the service can be loaded again. Resolves when the process is gone; another
   * call meanwhile waits for the same.
   */
  unload(drainMs: number): Promise<void> {
    if (this.state === "stopped" || this.state === "refused" || this.state === "unloaded") {
      return this.#unloading ?? Promise.resolve();
    }
    const wasReady = this.state === "ready";
    this.#supervisor.unload();
    this.#unloading = this.#drain(wasReady, drainMs).finally(() => {
      this.#unloading = undefined;
    });
    return this.#unloading;
  }

  /** Starts the process again after `unload`. Resolves with null when the service is ready, else with why not. */
  async load(): Promise<SignetError | null> {
    await this.#unloading;
    if (this.state === "unloaded") return await this.start();
    if (this.state === "ready") return null;
    const cause = { cause: this.#supervisor.lastError };
    return this.#supervisor.refusal ?? new SignetError("SERVICE_NOT_READY", `${this.name} is ${this.state}`, cause);
  }

  /** Lets the jobs there are end within `drainMs`, then ends the process. */
  async #drain(wasReady: boolean, drainMs: number): Promise<void> {
    // Nothing that waits for a process that may never come is waited for.
    if (!wasReady) this.#line.rejectAll(this.#goneError());
    if (this.#turns.size + this.#line.length > 0) {
      this.#idle ??= Promise.withResolvers<void>();
      const timer = setTimeout(this.#idle.resolve, Math.min(drainMs, MAX_TIMER_MS));
      await this.#idle.promise;
      clearTimeout(timer);
      this.#idle = undefined;
    }
    this.#line.rejectAll(this.#cutShortError());
    await this.#supervisor.end(this.#turns.size > 0 ? this.#cutShortError() : undefined);
  }

  /** Gives back the memory it shared with its process. Only after `stop` has ended. */
  release(): void {
    this.#pool.release();
  }

  /** Ends the process and every job in it at once. */
  kill(): void {
    this.#supervisor.stop();
    this.#line.rejectAll(this.#cutShortError());
    void this.#supervisor.end(this.#cutShortError());
    this.#idle?.resolve();
  }

  #pump(): void {
    const { host } = this.#supervisor;
    if (!host) return;
    this.#host = host;
    while (this.#line.length > 0) {
      // A job that ignores its cancel word is about to cost the process its life; nothing new joins it there.
      for (const { isOverdue } of this.#turns.running) if (isOverdue) return;
      const hasTurn = this.running < this.#mostRunning;
      if (!hasTurn && (this.#line.isBatching || this.#turns.ahead.length >= this.#runTime.worthAhead)) return;
      const bytes = this.#line.choose();
      if (bytes === undefined) return;
      const slot = this.#pool.take(bytes, hasTurn);
      if (slot === undefined) return;
      this.#give(host, this.#line.takeChosen(), slot);
    }
  }

  /** Lays a job into a slot and hands it to the process, now or ahead of its turn. */
  #give(host: HostProcess, entry: Entry, slot: number): void {
    const { job } = entry;
    const { slots } = this.#pool;
    const startedMs = performance.now();
    try {
      const inputs = entry.prepare(this.name, slots.data(slot));
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
    if (this.#turns.add(entry, this.#mostRunning)) this.#takeTurn(entry);
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
      const outputs = tensorsFromReply(this.name, reply, this.#options.outputs, this.#pool.slots.data(slot), mayLend);
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
    if (!runsApart) this.#leave(entry);
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
      this.#leave(entry);
      entry.fail(reason);
    }
    this.#pool.give(slot);
    this.#afterRun();
  }

  /** A job that ran has left its slot, and another has its turn. */
  #leave(entry: Entry): void {
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
  #recallFromLong(): void {
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
          this.#host?.kill(new SignetError("SERVICE_PROTOCOL", `${this.name}: ran a job that was taken back`));
        }
        this.#pool.give(slot);
        this.#pump();
      },
      lost: () => this.#pool.give(slot),
    });
    return true;
  }

  #afterRun(): void {
    this.#killIfOnlyOverdue();
    if (this.#supervisor.refusal && this.#turns.size === 0) void this.#supervisor.end();
    this.#pump();
    this.#noteIdle();
  }

  /** Whoever stops the service waits for this, however the last job left it. */
  #noteIdle(): void {
    if (this.#turns.size + this.#line.length === 0) this.#idle?.resolve();
  }

  /** The clock's word about a job. */
  late(entry: Entry, what: Lateness): void {
    const { job } = entry;
    switch (what) {
      case "deadline":
        this.cancel(entry, new SignetError("DEADLINE_EXCEEDED", `${this.name}: no result before the call's deadline`));
        break;
      case "queue": {
        if (this.#line.delay(entry)) break;
        const message = `${this.name}: waited ${entry.queueTimeoutMs} ms for its turn`;
        this.cancel(entry, new SignetError("DEADLINE_EXCEEDED", message));
        break;
      }
      case "run": {
        // The license's limit on one job: unlike the caller's deadline it does not leave the choice to the plugin.
        const message = `${this.name}: the license allows a job ${job.runLimitMs} ms, it took longer`;
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
    return new SignetError("SERVICE_CRASHED", `${this.name}: its process was ended, a job would not stop (${why})`);
  }

  #goneError(): SignetError {
    if (this.state !== "unloaded") return new SignetError("SHUTTING_DOWN", `${this.name} is stopping`);
    // The first words are Triton's, which some clients look for.
    const words = `Request for unknown model: '${this.name}' has no available versions, it was unloaded`;
    return new SignetError("SERVICE_UNLOADED", words);
  }

  #cutShortError(): SignetError {
    if (this.state === "unloaded") {
      return new SignetError("SERVICE_UNLOADED", `${this.name} was unloaded before the job ended`);
    }
    return new SignetError("SHUTTING_DOWN", `${this.name} was stopped before the job ended`);
  }
}

const refused: SubmittedJob = { cancel: () => {} };

/** What performance.now() counts from, on CLOCK_MONOTONIC, which plugins read. */
const originNs = Number(process.hrtime.bigint()) - performance.now() * 1e6;

/** A time of performance.now() on CLOCK_MONOTONIC. 0 for never. */
function monotonicNs(ms: number): number {
  return Number.isFinite(ms) ? Math.max(1, Math.round(originNs + ms * 1e6)) : 0;
}
