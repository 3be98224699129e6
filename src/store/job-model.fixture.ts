import { isFinal, type JobState } from "./job-state.ts";
import type { JobOwner, NewJob, RenewalVerdict } from "./store.ts";

/** A job as the model has it; `seq` counts its events. */
export interface ModelJob {
  readonly id: string;
  readonly identity: string;
  readonly service: string;
  readonly priority: number;
  readonly dueMs: number;
  readonly maxAttempts: number;
  state: JobState;
  attempts: number;
  fence: number;
  seq: number;
  isCancelRequested: boolean;
  owner: JobOwner | null;
  failure: string | null;
}

/** What the store should do, written again as plainly as it can be: lists that are searched from end to end. */
export class JobModel {
  jobs: ModelJob[] = [];
  readonly runs = new Map<string, number>();
  readonly #turns = new Map<string, number>();
  readonly #virtualTimes = new Map<string, number>();

  submit(jobs: readonly NewJob[]): void {
    for (const { id, identity, service, priority, deadlineMs, maxAttempts } of jobs) {
      const dueMs = deadlineMs ?? Number.POSITIVE_INFINITY;
      this.#enqueue({
        ...{ id, identity, service, priority, dueMs, maxAttempts, state: "queued", attempts: 0, fence: 0, seq: 1 },
        ...{ isCancelRequested: false, owner: null, failure: null },
      });
    }
  }

  claim(owner: JobOwner, service: string, most: number): readonly string[] {
    const ids: string[] = [];
    while (ids.length < most) {
      const job = this.#queue(service)[0];
      if (job === undefined) break;
      const turn = this.#turnOf(job);
      this.#virtualTimes.set(queueOf(job), Math.max(turn, this.#virtualTimeOf(job)));
      this.#turns.set(lineOf(job), turn + 1);
      Object.assign(job, {
        state: "running",
        owner,
        attempts: job.attempts + 1,
        fence: job.fence + 1,
        seq: job.seq + 1,
      });
      this.runs.set(service, (this.runs.get(service) ?? 0) + 1);
      ids.push(job.id);
    }
    return ids;
  }

  /** The jobs of a service that can be claimed, the next one first: who is next of each line, and then whose turn it is. */
  #queue(service: string): readonly ModelJob[] {
    const waiting = this.jobs.filter(
      (job) => job.state === "queued" && job.service === service && job.dueMs > Date.now(),
    );
    return waiting.toSorted(
      (a, b) =>
        a.priority - b.priority ||
        this.#turnOf(a) - this.#turnOf(b) ||
        compare(a.identity, b.identity) ||
        (a.dueMs === b.dueMs ? compare(a.id, b.id) : a.dueMs - b.dueMs),
    );
  }

  renew(id: string, fence: number): RenewalVerdict {
    const job = this.#claimed(id, fence);
    return job === undefined ? "lost" : job.isCancelRequested ? "cancel" : "ok";
  }

  complete(id: string, fence: number): boolean {
    return this.#leave(this.#claimed(id, fence), "succeeded", null);
  }

  fail(id: string, fence: number, failure: string, mayRetry: boolean): boolean {
    const job = this.#claimed(id, fence);
    if (job === undefined) return false;
    if (!mayRetry || job.attempts === job.maxAttempts) return this.#leave(job, "failed", failure);
    return this.#retryOrCancel(job, failure);
  }

  confirmCancelled(id: string, fence: number): boolean {
    return this.#leave(this.#claimed(id, fence), "cancelled");
  }

  giveBack(id: string, fence: number): boolean {
    const job = this.#claimed(id, fence);
    if (job === undefined) return false;
    job.attempts--;
    this.runs.set(job.service, this.runs.get(job.service)! - 1);
    const isCancelled = job.isCancelRequested;
    this.#retryOrCancel(job);
    const isAhead = this.#turnOf(job) > this.#virtualTimeOf(job);
    if (!isCancelled && isAhead) this.#turns.set(lineOf(job), this.#turnOf(job) - 1);
    return true;
  }

  cancel(id: string): void {
    const job = this.jobs.find((other) => other.id === id);
    if (job === undefined || isFinal(job.state) || job.isCancelRequested) return;
    if (job.state === "queued") this.#leave(job, "cancelled");
    else Object.assign(job, { isCancelRequested: true, seq: job.seq + 1 });
  }

  /** Jobs of earlier lives, and those that waited too long. @returns how many changed */
  sweep(owner: JobOwner): number {
    const lost = this.jobs.filter((job) => job.owner?.host === owner.host && job.owner.life !== owner.life);
    for (const job of lost) {
      if (!job.isCancelRequested && job.attempts === job.maxAttempts)
        this.#leave(job, "failed", "JOB_ATTEMPTS_EXHAUSTED");
      else if (job.isCancelRequested) this.#leave(job, "cancelled");
      else this.#retryOrCancel(job, "JOB_ATTEMPT_LOST");
    }
    const overdue = this.jobs.filter((job) => job.state === "queued" && job.dueMs <= Date.now());
    for (const job of overdue) this.#leave(job, "failed", "DEADLINE_EXCEEDED");
    // A job that was lost when it was overdue already changed twice.
    return lost.length + overdue.length;
  }

  prune(): void {
    this.jobs = this.jobs.filter((job) => !isFinal(job.state));
  }

  #claimed(id: string, fence: number): ModelJob | undefined {
    return this.jobs.find((job) => job.id === id && job.state === "running" && job.fence === fence);
  }

  #leave(job: ModelJob | undefined, state: JobState, failure?: string | null): boolean {
    if (job === undefined) return false;
    Object.assign(job, {
      state,
      owner: null,
      seq: job.seq + 1,
      failure: failure === undefined ? job.failure : failure,
    });
    return true;
  }

  #retryOrCancel(job: ModelJob, failure?: string): boolean {
    this.#leave(job, job.isCancelRequested ? "cancelled" : "queued", failure);
    if (job.state === "queued") {
      this.jobs = this.jobs.filter((other) => other !== job);
      this.#enqueue(job);
    }
    return true;
  }

  /** A line that had nothing waiting begins at the virtual time. */
  #enqueue(job: ModelJob): void {
    const isBusy = this.jobs.some((other) => other.state === "queued" && lineOf(other) === lineOf(job));
    if (!isBusy) this.#turns.set(lineOf(job), Math.max(this.#turnOf(job), this.#virtualTimeOf(job)));
    this.jobs.push(job);
  }

  #turnOf(job: ModelJob): number {
    return this.#turns.get(lineOf(job)) ?? 0;
  }

  #virtualTimeOf(job: ModelJob): number {
    return this.#virtualTimes.get(queueOf(job)) ?? 0;
  }
}

function queueOf({ service, priority }: ModelJob): string {
  return `${service} ${priority}`;
}

function lineOf(job: ModelJob): string {
  return `${queueOf(job)} ${job.identity}`;
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
