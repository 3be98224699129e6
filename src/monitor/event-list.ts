import type { ErrorCode } from "../errors.ts";
import { isoNow } from "../telemetry/index.ts";

/** What can be said of a service that somebody may want to know. */
export const monitorKinds = [
  /** Its process ended when nobody wanted it to. */
  "ended",
  /** It ended so often in a row that it is not started again by itself. */
  "quarantined",
  /** Somebody has had it started again. */
  "released",
  /** It is not started again, because a licensed file changed or the license was withdrawn. */
  "refused",
  /** A job's heartbeat stood still although its plugin declares progress. */
  "stuck",
  /** The process's memory rises towards its limit. */
  "memory",
  /** Jobs failed one after another, for a reason that lies with the service. */
  "failing",
  /** A job succeeded again. */
  "recovered",
] as const;
export type MonitorKind = (typeof monitorKinds)[number];

/** Something that happened, once or several times in a row. */
export interface MonitorEvent {
  readonly service: string;
  readonly kind: MonitorKind;
  readonly code: ErrorCode | null;
  /** The last time, in words. */
  readonly message: string;
  /** ISO 8601 in UTC. */
  readonly first: string;
  readonly last: string;
  readonly count: number;
}

const MAX_EVENTS = 200;

/** What happened last, bounded: what repeats of a service is one event that is counted. */
export class EventList {
  #events: MonitorEvent[] = [];
  readonly #counts = new Map<string, Map<MonitorKind, number>>();

  add(service: string, kind: MonitorKind, message: string, code: ErrorCode | null = null): void {
    const counts = this.#counts.get(service) ?? new Map<MonitorKind, number>();
    this.#counts.set(service, counts.set(kind, (counts.get(kind) ?? 0) + 1));
    const time = isoNow();
    const before = this.#events.findLast((event) => event.service === service);
    const repeats = before !== undefined && before.kind === kind && before.code === code;
    const others = repeats ? this.#events.filter((event) => event !== before) : this.#events;
    const { first, count } = repeats ? before : { first: time, count: 0 };
    const event: MonitorEvent = { service, kind, code, message, first, last: time, count: count + 1 };
    this.#events = [...others.slice(1 - MAX_EVENTS), event];
  }

  /** Oldest first. */
  get events(): readonly MonitorEvent[] {
    return this.#events;
  }

  /** How often each kind happened to a service since the server started. */
  countsOf(service: string): ReadonlyMap<MonitorKind, number> {
    return this.#counts.get(service) ?? new Map();
  }
}
