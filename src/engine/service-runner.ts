import { SignetError } from "../errors.ts";
import { Slots } from "../plugin/index.ts";
import { Entry, MAX_TIMER_MS } from "./entry.ts";
import type { HostFacts, HostProcess } from "./host-process.ts";
import { type WrittenInputs, writeInputs } from "./input.ts";
import type { Job, JobResult } from "./job.ts";
import { tensorsFromReply } from "./output.ts";
import { Queue } from "./queue.ts";
import { type ServiceState, Supervisor, type SupervisorOptions } from "./supervisor.ts";

export interface ServiceRunnerOptions extends Omit<SupervisorOptions, "slots" | "onReady" | "onGone"> {
  /** Jobs that may run at the same time. */
  readonly concurrency: number;
  readonly admission: "queue" | "reject";
  readonly maxQueue: number;
  readonly queueTimeoutMs: number | null;
  /** Room for the tensors of one job. */
  readonly slotBytes: number;
  /** How long a plugin may take to stop when it is asked to. */
  readonly cancelGraceMs: number;
}

/** Gives jobs to one service's process, as many at a time as the license allows; the others wait in its queue. */
export class ServiceRunner {
  readonly name: string;
  readonly #options: ServiceRunnerOptions;
  readonly #supervisor: Supervisor;
  readonly #queue: Queue<Entry>;
  readonly #slots: Slots;
  readonly #freeSlots: number[];
  readonly #running = new Set<Entry>();
  #idle: PromiseWithResolvers<void> | undefined;
  #unloading: Promise<void> | undefined;

  constructor(options: ServiceRunnerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#queue = new Queue(options.maxQueue);
    this.#slots = Slots.create({
      count: options.concurrency,
      bytes: options.slotBytes,
      inputs: options.inputs.length,
      outputs: options.outputs.length,
    });
    this.#freeSlots = Array.from({ length: options.concurrency }, (_, slot) => slot);
    this.#supervisor = new Supervisor({
      ...options,
      slots: this.#slots,
      onReady: () => this.#pump(),
      onGone: () => {
        this.#rejectWaiting(this.#supervisor.refusal ?? this.#goneError());
        this.#idle?.resolve();
      },
    });
  }

  get state(): ServiceState {
    return this.#supervisor.state;
  }

  /** What the plugin said about itself; undefined before it was first ready. */
  get facts(): HostFacts | undefined {
    return this.#supervisor.facts;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Room for the tensors of one job, bytes. */
  get roomBytes(): number {
    return this.#slots.layout.bytes;
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
   * Runs a job, or lets it wait for its turn. Rejects when it is refused, cancelled, late, or its process ends.
   * The caller is answered at its deadline even if the plugin goes on.
   */
  submit(job: Job): Promise<JobResult> {
    const refusal = this.#admissionRefusal(job);
    if (refusal) return Promise.reject(refusal);
    const entry = new Entry(job);
    const onAbort = () => this.#abandon(entry, new SignetError("CANCELLED", `${this.name}: the caller cancelled`));
    job.signal.addEventListener("abort", onAbort, { once: true });
    entry.after(job.deadlineMs - entry.enqueuedMs, () => {
      this.#abandon(entry, new SignetError("DEADLINE_EXCEEDED", `${this.name}: no result before the call's deadline`));
    });
    const queueTimeoutMs = Math.min(job.queueTimeoutMs ?? Infinity, this.#options.queueTimeoutMs ?? Infinity);
    entry.after(queueTimeoutMs, () => {
      if (entry.slot !== undefined) return;
      const message = `${this.name}: waited ${queueTimeoutMs} ms for its turn`;
      this.#abandon(entry, new SignetError("DEADLINE_EXCEEDED", message));
    });
    this.#queue.push(entry);
    this.#pump();
    return entry.answer.finally(() => job.signal.removeEventListener("abort", onAbort));
  }

  /** A plugin that takes one job at a time gets one: a job that waited inside its process would be charged for it. */
  get #mostRunning(): number {
    return this.facts?.plugin.threading === "single" ? 1 : this.#options.concurrency;
  }

  #admissionRefusal(job: Job): SignetError | undefined {
    const { admission, maxQueue } = this.#options;
    const refuse = (code: ConstructorParameters<typeof SignetError>[0], message: string) =>
      new SignetError(code, `${this.name}${message}`, { cause: this.#supervisor.lastError });
    if (job.signal.aborted) return refuse("CANCELLED", ": the caller cancelled");
    if (job.deadlineMs <= performance.now()) {
      return refuse("DEADLINE_EXCEEDED", ": the call's deadline had passed when it arrived");
    }
    if (this.#supervisor.refusal) return this.#supervisor.refusal;
    if (this.state === "stopped" || this.state === "unloaded") return this.#goneError();
    const isReady = this.state === "ready";
    if (isReady && this.#running.size < this.#mostRunning && this.#queue.length === 0) return undefined;
    if (admission === "reject" && !isReady) return refuse("SERVICE_NOT_READY", ` is ${this.state}`);
    if (admission === "reject") {
      return refuse("SERVICE_BUSY", `: ${this.#running.size} of ${this.#mostRunning} jobs are running`);
    }
    if (this.#queue.isFull) return refuse("QUEUE_FULL", `: ${this.#queue.length} calls wait, at most ${maxQueue} may`);
    return undefined;
  }

  /** Stops the service for good because of what second authorization found. Running jobs end as they will. */
  refuse(error: SignetError): void {
    if (!this.#supervisor.refuse(error)) return;
    this.#rejectWaiting(error);
    if (this.#running.size === 0) void this.#supervisor.end();
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
    if (!wasReady) this.#rejectWaiting(this.#goneError());
    if (this.#running.size + this.#queue.length > 0) {
      this.#idle ??= Promise.withResolvers<void>();
      const timer = setTimeout(this.#idle.resolve, Math.min(drainMs, MAX_TIMER_MS));
      await this.#idle.promise;
      clearTimeout(timer);
      this.#idle = undefined;
    }
    this.#rejectWaiting(this.#cutShortError());
    await this.#supervisor.end(this.#running.size > 0 ? this.#cutShortError() : undefined);
  }

  /** Gives back the memory it shared with its process. Only after `stop` has ended. */
  release(): void {
    this.#slots.release();
  }

  /** Ends the process and every job in it at once. */
  kill(): void {
    this.#supervisor.stop();
    this.#rejectWaiting(this.#cutShortError());
    void this.#supervisor.end(this.#cutShortError());
    this.#idle?.resolve();
  }

  #pump(): void {
    const { host } = this.#supervisor;
    if (!host) return;
    // A job that ignores its cancel word is about to cost the process its life; nothing new joins it there.
    while (this.#running.size < this.#mostRunning && ![...this.#running].some((entry) => entry.isOverdue)) {
      const entry = this.#queue.shift();
      if (!entry) break;
      this.#run(host, entry);
    }
  }

  #run(host: HostProcess, entry: Entry): void {
    const slot = this.#freeSlots.pop()!;
    let inputs: WrittenInputs;
    let end: () => void;
    const turnMs = performance.now();
    try {
      inputs = writeInputs(this.name, entry.job.inputs, this.#slots.data(slot));
      // Last, so that nothing is charged for a job that could not have run.
      end = entry.job.begin();
    } catch (error) {
      this.#freeSlots.push(slot);
      entry.end();
      entry.reject(SignetError.from(error));
      return;
    }
    const startedMs = performance.now();
    entry.slot = slot;
    this.#running.add(entry);
    this.#limitRun(host, entry);
    this.#slots.resetControl(slot, monotonicNs(Math.min(entry.job.deadlineMs, startedMs + entry.job.runLimitMs)));
    const task = this.#slots.task(slot);
    task.write(inputs.places, inputs.end);
    const over = () => {
      entry.end();
      this.#running.delete(entry);
      this.#freeSlots.push(slot);
      end();
      this.#afterRun();
    };
    host.run(slot, {
      ended: (reply) => {
        const repliedMs = performance.now();
        try {
          const outputs = tensorsFromReply(this.name, reply, this.#options.outputs, this.#slots.data(slot));
          this.#supervisor.recordSuccess();
          entry.resolve({
            outputs,
            queueMs: turnMs - entry.enqueuedMs,
            inputMs: startedMs - turnMs,
            runMs: reply?.ok ? reply.runUs / 1000 : 0,
            outputMs: performance.now() - repliedMs,
          });
        } catch (error) {
          const failure = SignetError.from(error);
          entry.reject(entry.abandoned ?? failure);
          // A process that contradicts itself is not trusted with another job.
          if (failure.code === "SERVICE_PROTOCOL") host.kill(failure);
        }
        over();
      },
      lost: (reason) => {
        entry.reject(entry.abandoned ?? reason);
        over();
      },
    });
  }

  /** The license's limit on one job: unlike the caller's deadline it does not leave the choice to the plugin. */
  #limitRun(host: HostProcess, entry: Entry): void {
    const { runLimitMs } = entry.job;
    entry.after(runLimitMs, () => {
      const message = `${this.name}: the license allows a job ${runLimitMs} ms, it took longer`;
      this.#abandon(entry, new SignetError("JOB_TIME_EXCEEDED", message));
      entry.after(this.#options.cancelGraceMs, () => host.kill(this.#unstoppableError(message)));
    });
  }

  #afterRun(): void {
    this.#killIfOnlyOverdue();
    if (this.#supervisor.refusal && this.#running.size === 0) void this.#supervisor.end();
    this.#pump();
    if (this.#running.size + this.#queue.length === 0) this.#idle?.resolve();
  }

  /** Answers the caller now. A running job is asked to stop; its slot is free when it really has. */
  #abandon(entry: Entry, error: SignetError): void {
    if (entry.abandoned) return;
    entry.abandoned = error;
    entry.reject(error);
    if (entry.slot === undefined) {
      this.#queue.remove(entry);
      entry.end();
      return;
    }
    this.#slots.requestCancel(entry.slot);
    entry.after(this.#options.cancelGraceMs, () => {
      entry.isOverdue = true;
      this.#killIfOnlyOverdue();
    });
  }

  /** Jobs of other callers are never ended because one caller's job will not stop: the process waits for them. */
  #killIfOnlyOverdue(): void {
    const entries = [...this.#running];
    if (entries.length === 0 || !entries.every((entry) => entry.isOverdue)) return;
    void this.#supervisor.end(this.#unstoppableError(entries[0]!.abandoned!.message));
  }

  #rejectWaiting(error: SignetError): void {
    for (const entry of this.#queue.clear()) {
      entry.end();
      entry.reject(error);
    }
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

/** A time of performance.now() on CLOCK_MONOTONIC, which both count from and plugins read. 0 for never. */
function monotonicNs(ms: number): bigint {
  if (!Number.isFinite(ms)) return 0n;
  const aheadNs = Math.max(0, Math.round((ms - performance.now()) * 1e6));
  return process.hrtime.bigint() + BigInt(aheadNs);
}
