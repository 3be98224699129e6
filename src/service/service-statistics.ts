import type { JobResult } from "../engine/index.ts";

/** How often something happened, and how long that took together. */
export interface Duration {
  count: number;
  ns: number;
}

type Times = Pick<JobResult, "queueMs" | "inputMs" | "runMs" | "outputMs">;

/** What a service has done. Only counted, never compared with the ledger: what is charged is known there. */
export class ServiceStatistics {
  readonly version: string;
  readonly success: Duration = { count: 0, ns: 0 };
  readonly failure: Duration = { count: 0, ns: 0 };
  /** The parts of what succeeded. */
  readonly queue: Duration = { count: 0, ns: 0 };
  readonly input: Duration = { count: 0, ns: 0 };
  readonly run: Duration = { count: 0, ns: 0 };
  readonly output: Duration = { count: 0, ns: 0 };
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
  succeed(ms: number, { queueMs, inputMs, runMs, outputMs }: Times): void {
    add(this.success, ms);
    add(this.queue, queueMs);
    add(this.input, inputMs);
    add(this.run, runMs);
    add(this.output, outputMs);
  }

  /** @param ms from the call's arrival to its error */
  fail(ms: number): void {
    add(this.failure, ms);
  }
}

function add(duration: Duration, ms: number): void {
  duration.count++;
  duration.ns += Math.round(ms * 1e6);
}
