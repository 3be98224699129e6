import { SignetError } from "../errors.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { HostFacts } from "./host-process.ts";
import { IdleWatch } from "./idle-watch.ts";
import type { Job, JobEnd, JobResult, RunningJob, SubmittedJob } from "./job.ts";
import { Line, type LineOptions } from "./line.ts";
import { keepResult } from "./result.ts";
import type { ServiceState } from "./service-state.ts";
import { SlotPool } from "./slot-pool.ts";
import { Supervisor, type SupervisorOptions } from "./supervisor.ts";

export interface ServiceRunnerOptions
  extends Omit<
      SupervisorOptions,
      "threads" | "pool" | "writersSince" | "giveWay" | "onLook" | "onReady" | "onGone" | "onRested"
    >,
    LineOptions {
  /** Jobs that may run at the same time. */
  readonly concurrency: number;
  readonly admission: "queue" | "reject";
  /** How long a plugin may take to stop when it is asked to. */
  readonly cancelGraceMs: number;
  /** How long there must be no job before its process ends, until there is one; 0, the default, for ever. */
  readonly idleUnloadMs?: number;
}

const MAX_TIMER_MS = 2 ** 31 - 1; // setTimeout fires at once beyond this
/** A service without a job for so long gives its place to another that waits for one, if it may be unloaded at all. */
const GIVE_WAY_MS = 1000;

/**
 * One service, from its first process to the end of its last: which jobs it takes, where they wait, and when it starts,
 * drains and stops. What waits goes to the process through its dispatcher, as many at a time as the license allows.
 */
export class ServiceRunner {
  readonly name: string;
  readonly #options: ServiceRunnerOptions;
  readonly #supervisor: Supervisor;
  readonly #line: Line;
  readonly #pool: SlotPool;
  readonly #dispatcher: Dispatcher;
  #idle: PromiseWithResolvers<void> | undefined;
  #unloading: Promise<void> | undefined;
  readonly #idleWatch: IdleWatch | undefined;

  constructor(options: ServiceRunnerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#line = new Line(options, () => this.#dispatcher.fill());
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
      writersSince: (ms) => this.#dispatcher.writersSince(ms),
      onLook: () => this.#dispatcher.recallFromLong(),
      onReady: () => {
        this.#idleWatch?.note();
        this.#dispatcher.fill();
      },
      giveWay: () => this.#giveWay(),
      onRested: () => {
        if (this.queued > 0) void this.#supervisor.wake();
      },
      onGone: () => {
        this.#line.rejectAll(this.#supervisor.refusal ?? this.#goneError());
        this.#idle?.resolve();
      },
    });
    this.#dispatcher = new Dispatcher({
      ...options,
      line: this.#line,
      pool: this.#pool,
      supervisor: this.#supervisor,
      onIdle: () => this.#idle?.resolve(),
    });
    const { idleUnloadMs = 0 } = options;
    if (idleUnloadMs > 0) {
      this.#idleWatch = new IdleWatch({
        afterMs: idleUnloadMs,
        isBusy: () => this.running + this.queued > 0,
        onIdle: () => this.#supervisor.rest(),
      });
    }
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

  /** Whether a call is answered, if only after its process has started again because of it. */
  get isServing(): boolean {
    return this.state === "ready" || this.state === "idle";
  }

  /** What it waits for before its process can start, in words for people; undefined while it does not. */
  get waitingFor(): string | undefined {
    return this.#supervisor.waitingFor;
  }

  /** The GPUs that are kept for its process, such as `gpu:0`. */
  get devices(): readonly string[] {
    return this.#supervisor.devices;
  }

  /** Jobs that wait for their turn, wherever. */
  get queued(): number {
    return this.#line.length + this.#dispatcher.ahead;
  }

  get running(): number {
    return this.#dispatcher.running;
  }

  /** Jobs that native code is at, to be looked at now and then. */
  get runningJobs(): readonly RunningJob[] {
    return this.#dispatcher.runningJobs;
  }

  /** Ends of its process since a job last succeeded. */
  get endsInARow(): number {
    return this.#supervisor.endsInARow;
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
    const entry = this.#line.enter(job, end, this.#dispatcher);
    this.#idleWatch?.note();
    if (this.state === "idle") this.wake();
    if (this.#line.isBatching) this.#line.lookSoon();
    else this.#dispatcher.fill();
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

  #admissionRefusal(job: Job): SignetError | undefined {
    const { admission, maxQueue } = this.#options;
    const refuse = (code: ConstructorParameters<typeof SignetError>[0], message: string) =>
      new SignetError(code, `${this.name}${message}`, { cause: this.#supervisor.lastError });
    if (job.deadlineMs <= performance.now()) {
      return refuse("DEADLINE_EXCEEDED", ": the call's deadline had passed when it arrived");
    }
    if (this.#supervisor.refusal) return this.#supervisor.refusal;
    if (this.#supervisor.quarantine) return this.#supervisor.quarantine;
    if (this.state === "stopped" || this.state === "unloaded") return this.#goneError();
    const isReady = this.state === "ready";
    const hasTurn = isReady && this.running < this.#dispatcher.mostRunning;
    if (hasTurn && this.#line.length === 0) return undefined;
    if (admission === "reject" && !this.isServing) return refuse("SERVICE_NOT_READY", ` is ${this.state}`);
    // What waits while a worker is free waits for others to run with it.
    if (admission === "reject" && isReady && !(hasTurn && this.#line.isBatching)) {
      return refuse("SERVICE_BUSY", `: ${this.running} of ${this.#dispatcher.mostRunning} jobs are running`);
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
    if (this.#dispatcher.size === 0) void this.#supervisor.end();
  }

  /** Takes no more jobs, lets those it has end within `drainMs` (Infinity for all), then ends the process. */
  async stop(drainMs: number): Promise<void> {
    if (this.state === "stopped") return;
    const wasReady = this.state === "ready";
    this.#idleWatch?.close();
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

  /** There is something to do, or about to be: starts the process that ended because there was not. */
  wake(): void {
    void this.#supervisor.wake();
  }

  #giveWay(): boolean {
    if (this.state !== "ready" || this.#idleWatch === undefined || this.#idleWatch.idleMs < GIVE_WAY_MS) return false;
    this.#supervisor.rest();
    return true;
  }

  /** Starts the process again after `unload` or quarantine. Resolves with null when the service is ready, else with why not. */
  async load(): Promise<SignetError | null> {
    await this.#unloading;
    if (this.state === "unloaded" || this.state === "quarantined") return await this.start();
    if (this.state === "idle") return await this.#supervisor.wake();
    if (this.state === "ready") return null;
    const cause = { cause: this.#supervisor.lastError };
    return this.#supervisor.refusal ?? new SignetError("SERVICE_NOT_READY", `${this.name} is ${this.state}`, cause);
  }

  /** Lets the jobs there are end within `drainMs`, then ends the process. */
  async #drain(wasReady: boolean, drainMs: number): Promise<void> {
    // Nothing that waits for a process that may never come is waited for.
    if (!wasReady) this.#line.rejectAll(this.#goneError());
    if (this.#dispatcher.size + this.#line.length > 0) {
      this.#idle ??= Promise.withResolvers<void>();
      const timer = setTimeout(this.#idle.resolve, Math.min(drainMs, MAX_TIMER_MS));
      await this.#idle.promise;
      clearTimeout(timer);
      this.#idle = undefined;
    }
    this.#line.rejectAll(this.#cutShortError());
    await this.#supervisor.end(this.#dispatcher.size > 0 ? this.#cutShortError() : undefined);
  }

  /** Gives back the memory it shared with its process. Only after `stop` has ended. */
  release(): void {
    this.#pool.release();
  }

  /** Ends the process and every job in it at once. */
  kill(): void {
    this.#idleWatch?.close();
    this.#supervisor.stop();
    this.#line.rejectAll(this.#cutShortError());
    void this.#supervisor.end(this.#cutShortError());
    this.#idle?.resolve();
  }

  #goneError(): SignetError {
    if (this.#supervisor.quarantine) return this.#supervisor.quarantine;
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

const refused: SubmittedJob = { progress: undefined, cancel: () => {} };
