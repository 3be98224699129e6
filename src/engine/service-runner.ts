import { SignetError } from "../errors.ts";
import { alignTensor, type InheritedFile, type InputPlace, Slots } from "../plugin/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import { type HostFacts, HostProcess } from "./host-process.ts";
import type { Job, JobResult } from "./job.ts";
import { tensorsFromReply } from "./output.ts";
import { Queue } from "./queue.ts";

/**
 * The states of a service:
 *
 *     starting ──▶ ready ──▶ stopped         stop()
 *        ▲  │        │
 *        │  ▼        ▼ crash, kill
 *        backing-off                         from any: refused, when a licensed file changed on disk
 *
 * While starting or backing off, calls wait in the queue up to their deadlines.
 */
export type ServiceState = "starting" | "ready" | "backing-off" | "refused" | "stopped";

export interface ServiceRunnerOptions {
  readonly name: string;
  readonly files: readonly InheritedFile[];
  readonly config: unknown;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Jobs that may run at the same time. */
  readonly concurrency: number;
  readonly admission: "queue" | "reject";
  readonly maxQueue: number;
  readonly queueTimeoutMs: number | null;
  readonly slotBytes: number;
  readonly memoryLimitBytes: number;
  readonly cancelGraceMs: number;
  readonly startTimeoutMs: number;
  readonly home: string;
  readonly onEvent: (event: ServiceEvent) => void;
}

export type ServiceEvent =
  | { readonly type: "state"; readonly state: ServiceState }
  | { readonly type: "ended"; readonly error: SignetError; readonly restartInMs: number | null }
  | { readonly type: "output"; readonly stream: "stdout" | "stderr"; readonly line: string };

interface Entry {
  readonly job: Job;
  readonly priority: number;
  readonly enqueuedMs: number;
  readonly settle: PromiseWithResolvers<JobResult>;
  /** Why the caller was already answered, while native code may still run. */
  abandoned: SignetError | undefined;
  /** True once the plugin ignored a request to stop for longer than the grace period. */
  overdue: boolean;
  slot: number | undefined;
  readonly timers: Set<NodeJS.Timeout>;
}

const MAX_BACK_OFF_MS = 30_000;
const FIRST_BACK_OFF_MS = 100;

/** Keeps one service's process alive and gives it jobs, as many at a time as the license allows. */
export class ServiceRunner {
  readonly name: string;
  readonly #options: ServiceRunnerOptions;
  readonly #queue: Queue<Entry>;
  readonly #slots: Slots;
  readonly #freeSlots: number[];
  readonly #running = new Set<Entry>();
  #host: HostProcess | undefined;
  #state: ServiceState = "starting";
  #facts: HostFacts | undefined;
  #refusal: SignetError | undefined;
  #lastError: SignetError | undefined;
  /** Ends of the process since a job last succeeded. */
  #crashesInARow = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ServiceRunnerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#queue = new Queue(options.maxQueue);
    this.#slots = Slots.create(options.concurrency, options.slotBytes);
    this.#freeSlots = Array.from({ length: options.concurrency }, (_, slot) => slot);
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** What the plugin said about itself; undefined before it was first ready. */
  get facts(): HostFacts | undefined {
    return this.#facts;
  }

  /** Why the service is not ready, if it is not. */
  get lastError(): SignetError | undefined {
    return this.#refusal ?? this.#lastError;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get running(): number {
    return this.#running.size;
  }

  /** The pid of the service's process, for tests and status. */
  get pid(): number | undefined {
    return this.#host?.pid;
  }

  /** Starts the process. Resolves when it is ready, or with the error of this first try; later tries go on by themselves. */
  async start(): Promise<SignetError | null> {
    this.#setState("starting");
    const host = new HostProcess({
      service: this.name,
      files: this.#options.files,
      config: this.#options.config,
      slots: this.#slots,
      startTimeoutMs: this.#options.startTimeoutMs,
      memoryLimitBytes: this.#options.memoryLimitBytes,
      home: this.#options.home,
      onOutput: (stream, line) => this.#options.onEvent({ type: "output", stream, line }),
    });
    this.#host = host;
    void host.ended.then((error) => this.#hostEnded(error));
    try {
      const facts = await host.ready;
      verifyTensors(this.name, facts, this.#options);
      this.#facts = facts;
    } catch (error) {
      const failure = SignetError.from(error);
      host.kill(failure);
      await host.ended;
      return failure;
    }
    if (this.#host === host && this.#state === "starting") {
      this.#setState("ready");
      this.#pump();
    }
    return null;
  }

  /**
   * Runs a job, or waits for its turn. Rejects when it is refused, cancelled, late, or its process ends.
   * The caller is answered at its deadline even if the plugin goes on.
   */
  submit(job: Job): Promise<JobResult> {
    const refusal = this.#admissionRefusal(job);
    if (refusal) return Promise.reject(refusal);
    const entry: Entry = {
      job,
      priority: job.priority,
      enqueuedMs: performance.now(),
      settle: Promise.withResolvers<JobResult>(),
      abandoned: undefined,
      overdue: false,
      slot: undefined,
      timers: new Set(),
    };
    const onAbort = () => this.#abandon(entry, new SignetError("CANCELLED", `${this.name}: the caller cancelled`));
    job.signal.addEventListener("abort", onAbort, { once: true });
    this.#after(entry, job.deadlineMs - entry.enqueuedMs, () => {
      this.#abandon(entry, new SignetError("DEADLINE_EXCEEDED", `${this.name}: no result before the call's deadline`));
    });
    const queueTimeoutMs = Math.min(
      job.queueTimeoutMs ?? Number.POSITIVE_INFINITY,
      this.#options.queueTimeoutMs ?? Number.POSITIVE_INFINITY,
    );
    if (queueTimeoutMs !== Number.POSITIVE_INFINITY) {
      this.#after(entry, queueTimeoutMs, () => {
        if (entry.slot !== undefined) return;
        this.#abandon(
          entry,
          new SignetError("DEADLINE_EXCEEDED", `${this.name}: waited ${queueTimeoutMs} ms for its turn`),
        );
      });
    }
    this.#queue.push(entry);
    this.#pump();
    return entry.settle.promise.finally(() => job.signal.removeEventListener("abort", onAbort));
  }

  #admissionRefusal(job: Job): SignetError | undefined {
    const { admission, maxQueue } = this.#options;
    if (job.signal.aborted) return new SignetError("CANCELLED", `${this.name}: the caller cancelled`);
    if (job.deadlineMs <= performance.now()) {
      return new SignetError("DEADLINE_EXCEEDED", `${this.name}: the call's deadline had passed when it arrived`);
    }
    if (this.#refusal) return this.#refusal;
    if (this.#state === "stopped") return new SignetError("SHUTTING_DOWN", `${this.name} is stopping`);
    const canStartNow = this.#state === "ready" && this.#freeSlots.length > 0 && this.#queue.length === 0;
    if (canStartNow) return undefined;
    if (admission === "reject") {
      return this.#state === "ready"
        ? new SignetError(
            "SERVICE_BUSY",
            `${this.name}: ${this.#running.size} of ${this.#options.concurrency} jobs are running`,
          )
        : new SignetError("SERVICE_NOT_READY", `${this.name} is ${this.#state}`, { cause: this.#lastError });
    }
    if (this.#queue.isFull) {
      return new SignetError(
        "QUEUE_FULL",
        `${this.name}: ${this.#queue.length} calls are waiting, at most ${maxQueue} may`,
      );
    }
    return undefined;
  }

  /** Stops the service for good because of what second authorization found. Running jobs end as they will. */
  refuse(error: SignetError): void {
    if (this.#refusal || this.#state === "stopped") return;
    this.#refusal = error;
    this.#setState("refused");
    for (const entry of this.#queue.clear()) this.#reject(entry, error);
    clearTimeout(this.#restartTimer);
    if (this.#running.size === 0) void this.#host?.stop();
  }

  /** Takes no more jobs, lets those it has end within `drainMs`, then ends the process. */
  async stop(drainMs: number): Promise<void> {
    if (this.#state === "stopped") return;
    const wasReady = this.#state === "ready";
    this.#setState("stopped");
    clearTimeout(this.#restartTimer);
    if (!wasReady) {
      const reason = new SignetError("SHUTTING_DOWN", `${this.name} is stopping`);
      for (const entry of this.#queue.clear()) this.#reject(entry, reason);
    }
    if (this.#running.size + this.#queue.length > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle = resolve;
      const timer = setTimeout(resolve, drainMs);
      this.#pump();
      await promise;
      clearTimeout(timer);
    }
    const reason = new SignetError("SHUTTING_DOWN", `${this.name} was stopped before the job ended`);
    for (const entry of this.#queue.clear()) this.#reject(entry, reason);
    const host = this.#host;
    if (!host) return;
    if (this.#running.size > 0) {
      host.kill(reason);
      await host.ended;
    } else {
      await host.stop();
    }
  }

  /** Ends the process and every job in it at once. */
  kill(): void {
    const reason = new SignetError("SHUTTING_DOWN", `${this.name} was stopped before the job ended`);
    this.#setState("stopped");
    clearTimeout(this.#restartTimer);
    for (const entry of this.#queue.clear()) this.#reject(entry, reason);
    this.#host?.kill(reason);
    this.#idle?.();
  }

  #pump(): void {
    const host = this.#host;
    const mayRun = this.#state === "ready" || (this.#state === "stopped" && this.#facts !== undefined);
    if (!host || host.isEnding || !mayRun) return;
    // A job that ignores its cancel word is about to cost the process its life; nothing new joins it there.
    while (this.#freeSlots.length > 0 && ![...this.#running].some((entry) => entry.overdue)) {
      const entry = this.#queue.shift();
      if (!entry) break;
      this.#run(host, entry);
    }
  }

  #run(host: HostProcess, entry: Entry): void {
    const slot = this.#freeSlots.pop()!;
    let inputs: { places: InputPlace[]; end: number };
    let end: () => void;
    try {
      inputs = this.#writeInputs(slot, entry.job);
      // Last, so that nothing is charged for a job that could not have run.
      end = entry.job.begin();
    } catch (error) {
      this.#freeSlots.push(slot);
      this.#reject(entry, SignetError.from(error));
      return;
    }
    const startedMs = performance.now();
    entry.slot = slot;
    this.#running.add(entry);
    const { runLimitMs, deadlineMs } = entry.job;
    this.#after(entry, runLimitMs, () => {
      this.#abandon(
        entry,
        new SignetError("JOB_TIME_EXCEEDED", `${this.name}: the license allows a job ${runLimitMs} ms, it took longer`),
      );
      // The vendor did not leave the choice to the plugin.
      this.#after(entry, this.#options.cancelGraceMs, () => host.kill(entry.abandoned!));
    });
    this.#slots.resetControl(slot, monotonicNs(Math.min(deadlineMs, startedMs + runLimitMs)));
    host
      .run(slot, inputs.places, inputs.end)
      .then((reply) => {
        const outputs = tensorsFromReply(this.name, reply, this.#options.outputs, this.#slots.data(slot));
        const runMs = reply.ok ? reply.runUs / 1000 : 0;
        this.#crashesInARow = 0;
        entry.settle.resolve({ outputs, queueMs: startedMs - entry.enqueuedMs, runMs });
      })
      .catch((error) => {
        const failure = SignetError.from(error);
        entry.settle.reject(entry.abandoned ?? failure);
        // A process that contradicts itself is not trusted with another job.
        if (failure.code === "SERVICE_PROTOCOL") host.kill(failure);
      })
      .finally(() => {
        this.#clearTimers(entry);
        this.#running.delete(entry);
        this.#freeSlots.push(slot);
        end();
        this.#killIfOnlyOverdue();
        if (this.#refusal && this.#running.size === 0) void this.#host?.stop();
        this.#pump();
        if (this.#running.size + this.#queue.length === 0) this.#idle?.();
      });
  }

  #writeInputs(slot: number, job: Job): { places: InputPlace[]; end: number } {
    const data = this.#slots.data(slot);
    let end = 0;
    const places = job.inputs.map((input) => {
      const offset = alignTensor(end);
      if (offset + input.data.byteLength > data.byteLength) {
        const needed = job.inputs.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
        throw new SignetError(
          "REQUEST_TOO_LARGE",
          `${this.name}: inputs of ${needed} bytes, room for ${data.byteLength}`,
        );
      }
      data.set(input.data, offset);
      end = offset + input.data.byteLength;
      return { shape: input.shape, offset, bytes: input.data.byteLength };
    });
    return { places, end: alignTensor(end) };
  }

  /** Answers the caller now. A running job is asked to stop; its slot is free when it really has. */
  #abandon(entry: Entry, error: SignetError): void {
    if (entry.abandoned) return;
    entry.abandoned = error;
    if (entry.slot === undefined) {
      if (this.#queue.remove(entry)) this.#reject(entry, error);
      return;
    }
    this.#slots.requestCancel(entry.slot);
    entry.settle.reject(error);
    this.#after(entry, this.#options.cancelGraceMs, () => {
      entry.overdue = true;
      this.#killIfOnlyOverdue();
    });
  }

  /** Jobs of other callers are never ended because one caller's job will not stop: the process waits for them. */
  #killIfOnlyOverdue(): void {
    const entries = [...this.#running];
    if (entries.length === 0 || !entries.every((entry) => entry.overdue)) return;
    this.#host?.kill(entries[0]!.abandoned!);
  }

  #hostEnded(error: SignetError | null): void {
    this.#host = undefined;
    if (this.#state === "stopped") {
      const reason = new SignetError("SHUTTING_DOWN", `${this.name} is stopping`);
      for (const entry of this.#queue.clear()) this.#reject(entry, reason);
      this.#idle?.();
      return;
    }
    if (error === null || this.#refusal) return;
    this.#lastError = error;
    // The first restart is immediate, so that one crash costs callers a fraction of a second.
    const restartInMs =
      this.#crashesInARow === 0 ? 0 : Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (this.#crashesInARow - 1));
    this.#crashesInARow++;
    this.#options.onEvent({ type: "ended", error, restartInMs });
    this.#setState("backing-off");
    this.#restartTimer = setTimeout(() => void this.start(), restartInMs);
  }

  #setState(state: ServiceState): void {
    if (this.#state === "stopped" || (this.#state === "refused" && state !== "stopped")) return;
    this.#state = state;
    this.#options.onEvent({ type: "state", state });
  }

  #reject(entry: Entry, error: SignetError): void {
    this.#clearTimers(entry);
    entry.settle.reject(error);
  }

  #after(entry: Entry, ms: number, action: () => void): void {
    if (!Number.isFinite(ms)) return;
    const timer = setTimeout(action, Math.min(Math.max(0, ms), 2 ** 31 - 1));
    entry.timers.add(timer);
  }

  #clearTimers(entry: Entry): void {
    for (const timer of entry.timers) clearTimeout(timer);
    entry.timers.clear();
  }
}

/** The plugin must offer what the license says its clients are promised. */
function verifyTensors(name: string, facts: HostFacts, licensed: ServiceRunnerOptions): void {
  for (const side of ["inputs", "outputs"] as const) {
    const found = describeSpecs(facts.instance[side]);
    const expected = describeSpecs(licensed[side]);
    if (found !== expected) {
      throw new SignetError("PLUGIN_INCOMPATIBLE", `${name}: licensed ${side} ${expected}, the plugin has ${found}`);
    }
  }
}

function describeSpecs(specs: readonly TensorSpec[]): string {
  return specs.map(({ name, datatype, shape }) => `${name} ${datatype}[${shape}]`).join(", ");
}

/** A time of performance.now() on CLOCK_MONOTONIC, which both count from and plugins read. 0 for never. */
function monotonicNs(ms: number): bigint {
  if (!Number.isFinite(ms)) return 0n;
  const aheadNs = Math.max(0, Math.round((ms - performance.now()) * 1e6));
  return process.hrtime.bigint() + BigInt(aheadNs);
}
