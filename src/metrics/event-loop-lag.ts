import { Histogram } from "../telemetry/index.ts";

const PERIOD_MS = 20;

/**
 * How late timers fire: while the gateway computes, nobody is answered. perf_hooks has such a monitor, but its histogram
 * forgets all when one reader resets it, and cannot be added up over hosts.
 */
export class EventLoopLag {
  readonly histogram = new Histogram();
  readonly #timer: NodeJS.Timeout;
  #dueMs = performance.now() + PERIOD_MS;

  constructor() {
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      this.histogram.record(nowMs - this.#dueMs);
      this.#dueMs = nowMs + PERIOD_MS;
    }, PERIOD_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
