import type { ServiceLoad } from "../../store/index.ts";

/** How an attempt of a job ended, for the count of them. */
export type AttemptOutcome = "succeeded" | "failed" | "cancelled" | "retried" | "given-back";

/** What this server did with jobs, and how many there are, for whoever watches it. */
export class JobTally {
  /** As the store had it last, at most a second or two ago. */
  loads: readonly ServiceLoad[] = [];
  /** Whether the store could be asked then. */
  isStoreUp = true;
  readonly #ended = new Map<string, Map<AttemptOutcome, number>>();

  count(service: string, outcome: AttemptOutcome): void {
    let outcomes = this.#ended.get(service);
    if (outcomes === undefined) {
      outcomes = new Map();
      this.#ended.set(service, outcomes);
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }

  /** Attempts that ended here, by service and outcome. */
  *ended(): Generator<readonly [service: string, outcome: AttemptOutcome, count: number]> {
    for (const [service, outcomes] of this.#ended) {
      for (const [outcome, count] of outcomes) yield [service, outcome, count];
    }
  }
}
