import type { SignetError } from "../errors.ts";
import type { Job, JobResult } from "./job.ts";

export const MAX_TIMER_MS = 2 ** 31 - 1; // setTimeout fires at once beyond this

/** A submitted job on its way through the queue and a slot, with its timers. It is answered once. */
export class Entry {
  readonly job: Job;
  readonly enqueuedMs = performance.now();
  /** The slot it runs in; undefined while it waits. */
  slot: number | undefined;
  /** Why the caller was already answered, while native code may still run. */
  abandoned: SignetError | undefined;
  /** True once the plugin ignored a request to stop for longer than the grace period. */
  isOverdue = false;
  readonly #answer = Promise.withResolvers<JobResult>();
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(job: Job) {
    this.job = job;
  }

  get priority(): number {
    return this.job.priority;
  }

  get answer(): Promise<JobResult> {
    return this.#answer.promise;
  }

  resolve(result: JobResult): void {
    this.#answer.resolve(result);
  }

  reject(error: SignetError): void {
    this.#answer.reject(error);
  }

  /** Does something later, unless the entry has ended by then. Infinity is never. */
  after(ms: number, action: () => void): void {
    if (!Number.isFinite(ms)) return;
    this.#timers.push(setTimeout(action, Math.min(Math.max(0, ms), MAX_TIMER_MS)));
  }

  /** The job has ended, in the queue or in native code: nothing about it happens later. */
  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
