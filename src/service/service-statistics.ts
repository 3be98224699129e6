import type { JobResult } from "../engine/index.ts";
import type { ErrorCode } from "../errors.ts";
import { Histogram } from "../telemetry/index.ts";

/** How often something happened, and how long that took together. */
export interface Duration {
  count: number;
  ns: number;
}

/** Runs of one number of items, and the parts of their time. */
interface Runs {
  readonly input: Duration;
  readonly run: Duration;
  readonly output: Duration;
}

type Outcome = Omit<JobResult, "outputs" | "release">;

/** What a service has done. Only counted, never compared with the ledger: what is charged is known there. */
export class ServiceStatistics {
  readonly version: string;
  readonly success = new Histogram();
  readonly failure: Duration = { count: 0, ns: 0 };
  /** The failures by their codes. */
  readonly failures = new Map<ErrorCode, number>();
  /** The parts of what succeeded. */
  readonly queue = new Histogram();
  readonly input: Duration = { count: 0, ns: 0 };
  readonly run = new Histogram();
  readonly output: Duration = { count: 0, ns: 0 };
  /** Items of the calls that succeeded. */
  items = 0;
  /** Times that the plugin ran, for one call or for several together. */
  executions = 0;
  /** By the items that ran together. */
  readonly runs = new Map<number, Runs>();
  /** Successes that native code had answered before. */
  readonly cacheHit: Duration = { count: 0, ns: 0 };
  /** Those that were looked for in vain, and kept. */
  readonly cacheMiss: Duration = { count: 0, ns: 0 };
  /** When the last call came, ms since 1970; 0 for never. */
  lastCallMs = 0;

  constructor(version: string) {
    this.version = version;
  }

  /** A call has come. */
  begin(): void {
    this.lastCallMs = Date.now();
  }

  /** @param ms from the call's arrival to its result */
  succeed(ms: number, outcome: Outcome): void {
    const { queueMs, inputMs, runMs, outputMs } = outcome;
    this.success.record(ms);
    this.queue.record(queueMs);
    add(this.input, inputMs);
    this.run.record(runMs);
    add(this.output, outputMs);
    this.items += outcome.items;
    if (outcome.isFirstOfRun) this.#countRun(outcome);
  }

  #countRun({ runSize, inputMs, runMs, outputMs }: Outcome): void {
    let runs = this.runs.get(runSize);
    if (runs === undefined) {
      runs = { input: { count: 0, ns: 0 }, run: { count: 0, ns: 0 }, output: { count: 0, ns: 0 } };
      this.runs.set(runSize, runs);
    }
    this.executions++;
    add(runs.input, inputMs);
    add(runs.run, runMs);
    add(runs.output, outputMs);
  }

  /**
   * A call was answered from the cache: nothing waited and nothing ran.
   * @param ms from the call's arrival to its result
   * @param lookupMs what of it was for the cache
   */
  hit(ms: number, lookupMs: number): void {
    this.success.record(ms);
    this.queue.record(0);
    add(this.cacheHit, lookupMs);
  }

  /** A call that succeeds was not in the cache. */
  miss(lookupMs: number): void {
    add(this.cacheMiss, lookupMs);
  }

  /** @param ms from the call's arrival to its error */
  fail(ms: number, code: ErrorCode): void {
    add(this.failure, ms);
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
  }
}

function add(duration: Duration, ms: number): void {
  duration.count++;
  duration.ns += Math.round(ms * 1e6);
}
