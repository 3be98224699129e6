import type { Tensor } from "../tensor/index.ts";
import type { Entry } from "./entry.ts";
import type { JobResult } from "./job.ts";
import type { SlotPool } from "./slot-pool.ts";

/** The same result with outputs of its own; what was lent is released. */
export function keepResult(lent: JobResult): JobResult {
  const { queueMs, inputMs, runMs, outputMs, items, runSize, isFirstOfRun } = lent;
  const outputs = lent.outputs.map((output) => ({ ...output, data: new Uint8Array(output.data) }));
  lent.release();
  return { outputs, queueMs, inputMs, runMs, outputMs, items, runSize, isFirstOfRun, release: () => {} };
}

/** A result whose outputs may still lie in their slot. */
export class LentResult implements JobResult {
  readonly outputs: readonly Tensor[];
  readonly queueMs: number;
  readonly inputMs: number;
  readonly runMs: number;
  readonly outputMs: number;
  readonly items = 1;
  readonly runSize = 1;
  readonly isFirstOfRun = true;
  readonly #pool: SlotPool;
  /** -1 where nothing is lent. */
  #slot: number;

  constructor(entry: Entry, outputs: readonly Tensor[], runMs: number, repliedMs: number, pool: SlotPool) {
    this.outputs = outputs;
    this.inputMs = entry.inputMs;
    this.queueMs = Math.max(0, entry.turnMs - entry.enqueuedMs - this.inputMs);
    this.runMs = runMs;
    this.outputMs = performance.now() - repliedMs;
    this.#pool = pool;
    this.#slot = pool.mayLend(entry.slot) ? entry.slot : -1;
    if (this.#slot >= 0) pool.lend();
  }

  release(): void {
    if (this.#slot < 0) return;
    this.#pool.giveBackLent(this.#slot);
    this.#slot = -1;
  }
}
