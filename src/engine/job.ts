import type { Tensor } from "../tensor/index.ts";

/** A unit of work for a service. Its inputs have been checked against the service's tensors, and are in their order. */
export interface Job {
  readonly inputs: readonly Tensor[];
  /** Smaller runs earlier. */
  readonly priority: number;
  /** When the caller stops waiting, in ms on the clock of performance.now(); Infinity for never. */
  readonly deadlineMs: number;
  /** How long it may wait for its turn, in ms; null for as long as its deadline. */
  readonly queueTimeoutMs: number | null;
  /**
   * How long the license lets one job run, in ms; Infinity where it does not say. Unlike the caller's deadline
   * it ends the process if need be, whoever else is in it.
   */
  readonly runLimitMs: number;
  /** The caller going away. */
  readonly signal: AbortSignal;
  /**
   * Called right before native code runs: second authorization and the ledger's debit. What it throws
   * refuses the job. What it returns is called once when native code has really ended.
   */
  begin(): () => void;
}

export interface JobResult {
  readonly outputs: readonly Tensor[];
  /** Time in the queue, ms. */
  readonly queueMs: number;
  /** Time it took to lay the inputs out, ms. */
  readonly inputMs: number;
  /** Time in the plugin's run(), ms. */
  readonly runMs: number;
  /** Time it took to check the outputs and take them over, ms. */
  readonly outputMs: number;
}
