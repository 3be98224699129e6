import type { Tensor } from "../tensor/index.ts";

/** A unit of work for a service. Its inputs have been checked against the service's tensors, and are in their order. */
export interface Job {
  readonly inputs: readonly Tensor[];
  /** Smaller runs earlier. */
  readonly priority: number;
  /** When the caller stops waiting, in ms on the clock of performance.now(); Infinity for never. */
  readonly deadlineMs: number;
  /** How long the job may run, in ms. Unlike the caller's deadline this ends the process if need be. */
  readonly runLimitMs: number;
  /** Whether the license (rather than the configuration) set the run limit; it decides the error. */
  readonly runLimitIsLicensed: boolean;
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
  /** Time in the plugin's run(), ms. */
  readonly runMs: number;
}
