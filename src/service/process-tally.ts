import type { ServiceEvent } from "../engine/index.ts";
import type { ErrorCode } from "../errors.ts";

interface Tally {
  starts: number;
  /** Ends that nobody wanted, by what happened. */
  readonly ends: Map<ErrorCode, number>;
}

const none: Tally = { starts: 0, ends: new Map() };

/** How often processes of services were started and how they ended, by the services' names: a renewal may exchange all else. */
export class ProcessTally {
  readonly #tallies = new Map<string, Tally>();

  record(service: string, event: ServiceEvent): void {
    const tally = this.#tallies.get(service) ?? { starts: 0, ends: new Map() };
    this.#tallies.set(service, tally);
    if (event.type === "state" && event.state === "starting") tally.starts++;
    if (event.type === "ended") tally.ends.set(event.error.code, (tally.ends.get(event.error.code) ?? 0) + 1);
  }

  of(service: string): { readonly starts: number; readonly ends: ReadonlyMap<ErrorCode, number> } {
    return this.#tallies.get(service) ?? none;
  }
}
