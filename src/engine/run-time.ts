/** Jobs that lie ahead of their turn wait no longer than this there, if all goes as expected. */
const AHEAD_US = 500;
const MAX_AHEAD = 32;
/** What a new run counts for, where it was shorter than expected. */
const WEIGHT = 0.1;

/** How long a service's runs take. A longer one counts at once, shorter ones little by little. */
export class RunTime {
  /** Infinity before the first run. */
  expectedUs = Number.POSITIVE_INFINITY;

  add(runUs: number): void {
    if (this.expectedUs === Number.POSITIVE_INFINITY || runUs > this.expectedUs) this.expectedUs = runUs;
    else this.expectedUs += (runUs - this.expectedUs) * WEIGHT;
  }

  /** A run has taken so long, and goes on. */
  atLeast(runUs: number): void {
    this.expectedUs = Math.max(this.expectedUs, runUs);
  }

  /** How many jobs are worth laying ahead: only short ones are done sooner for it, and can wait for one another. */
  get worthAhead(): number {
    return Math.min(MAX_AHEAD, Math.floor(AHEAD_US / Math.max(this.expectedUs, 1)));
  }
}
