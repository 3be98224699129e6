import type { ErrorCode } from "../errors.ts";

/** Failures of jobs that lie with the service, and not with who asked or how long they would wait. */
const faults: readonly ErrorCode[] = [
  "PLUGIN_FAILED",
  "SERVICE_CRASHED",
  "SERVICE_UNRESPONSIVE",
  "SERVICE_OUT_OF_MEMORY",
  "SERVICE_PROTOCOL",
  "OUTPUT_TOO_LARGE",
  "JOB_TIME_EXCEEDED",
];

/** So many in a row are no accident. */
const IN_A_ROW = 10;

/** What has been counted of a service's calls. */
export interface CallCounts {
  readonly successes: number;
  readonly failures: ReadonlyMap<ErrorCode, number>;
}

/** Finds out whether a service's jobs fail one after another, from what is counted anyway. */
export class FailureWatch {
  #successes = 0;
  /** Faults when the last success was seen. */
  #before = 0;
  #isFailing = false;

  get isFailing(): boolean {
    return this.#isFailing;
  }

  /** @returns how many failed in a row where that is found now, 0 where a job succeeded again, undefined for no news */
  look({ successes, failures }: CallCounts): number | undefined {
    const count = faults.reduce((sum, code) => sum + (failures.get(code) ?? 0), 0);
    // Counting begins anew with another version of the service.
    if (successes !== this.#successes || count < this.#before) {
      this.#successes = successes;
      this.#before = count;
      if (!this.#isFailing) return undefined;
      this.#isFailing = false;
      return 0;
    }
    const inARow = count - this.#before;
    if (this.#isFailing || inARow < IN_A_ROW) return undefined;
    this.#isFailing = true;
    return inARow;
  }
}
