import type { SignetError } from "../errors.ts";
import type { Progress } from "../plugin/index.ts";
import type { Tensor } from "../tensor/index.ts";

/** A unit of work for a service. Its inputs have been checked against the service's tensors, and are in their order. */
export interface Job {
  /** By which those who submit it know it; none where nobody does. */
  readonly id?: string;
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
  /**
   * Called before native code may run: second authorization and the ledger's debit. What it throws refuses the job.
   * Called again where the job's process ended before its turn, and another gets the job.
   */
  begin(): Charge;
}

/** What a job is charged. After `begin` comes `takenBack`, or `started` at most once and `ended` once. */
export interface Charge {
  /** Its turn has come: it runs from now on, as far as can be told. @param isTimed false where another job has the time */
  started(isTimed: boolean): void;
  /** Native code has really ended. */
  ended(): void;
  /** Native code never ran it. */
  takenBack(): void;
}

/** Who hears how a job ended. Exactly one of the two is called, once, and that may be while it is being submitted. */
export interface JobEnd {
  succeeded(result: JobResult): void;
  failed(error: SignetError): void;
}

/** A job, or several in a batch, that native code is at. */
export interface RunningJob {
  readonly ids: readonly string[];
  /** When its turn began, on the clock of performance.now(). */
  readonly turnMs: number;
  readonly progress: Progress | undefined;
  /** As that of SubmittedJob. */
  cancel(error: SignetError): void;
}

/** A job that was submitted. */
export interface SubmittedJob {
  /** What its plugin says of it, read at this moment; undefined while it does not have its turn. */
  readonly progress: Progress | undefined;
  /** The caller gives up: it is answered with the error at once, if it was not before, and the plugin is asked to stop. */
  cancel(error: SignetError): void;
}

export interface JobResult {
  /** Their bytes may lie in shared memory that another job gets after `release`; who keeps them copies them. */
  readonly outputs: readonly Tensor[];
  /** Time that it waited for its turn, ms; that its inputs took to be laid out is not in it. */
  readonly queueMs: number;
  /** Time it took to lay the inputs out, ms. */
  readonly inputMs: number;
  /** Time in the plugin's run(), ms. */
  readonly runMs: number;
  /** Time it took to check the outputs and take them over, ms. */
  readonly outputMs: number;
  /** Items of this job; 1 where the service knows none. */
  readonly items: number;
  /** Items that ran together, in this job and others. */
  readonly runSize: number;
  /** False where another job counts for the run. */
  readonly isFirstOfRun: boolean;
  /** Nobody reads the outputs any more. Twice is once. */
  release(): void;
}
