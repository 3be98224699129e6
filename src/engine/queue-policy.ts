/** How calls of one priority wait. */
export interface QueuePolicy {
  /** How many may wait. */
  readonly maxQueue: number;
  /** How long one may wait for its turn, ms; null for as long as its deadline. */
  readonly queueTimeoutMs: number | null;
  /** What becomes of one that waited so long: it is given up, or goes behind all of its priority that have not. */
  readonly queueTimeoutAction: "reject" | "delay";
  /** Whether a call may ask for less time than that. */
  readonly allowTimeoutOverride: boolean;
}

export interface Priorities {
  /** There are priorities from 1, the most urgent, to this; 0 where any number is one. */
  readonly levels: number;
  /** That of calls which name none that there is; 0 for the last. */
  readonly default: number;
  /** How calls of one priority wait, by its number, where that is another way. */
  readonly queues: Readonly<Record<string, QueuePolicy>>;
}

/** Which priority a call has in a service, and how calls of that priority wait. */
export class QueuePolicies {
  readonly #common: QueuePolicy;
  readonly #priorities: Priorities;
  readonly #own: ReadonlyMap<number, QueuePolicy>;

  constructor(common: QueuePolicy, priorities: Priorities) {
    this.#common = common;
    this.#priorities = priorities;
    this.#own = new Map(Object.entries(priorities.queues).map(([level, policy]) => [Number(level), policy]));
  }

  /** @param asked any number of 0 or more */
  priorityOf(asked: number): number {
    const { levels, default: fallback } = this.#priorities;
    if (levels === 0 || (asked >= 1 && asked <= levels)) return asked;
    return fallback === 0 ? levels : fallback;
  }

  /** @param priority as `priorityOf` says it */
  of(priority: number): QueuePolicy {
    return this.#own.get(priority) ?? this.#common;
  }

  /** Whether calls of that priority have a policy of their own. */
  isOwn(priority: number): boolean {
    return this.#own.has(priority);
  }

  /** How long a call may wait, ms; Infinity for as long as its deadline. @param asked what it asks for; null for nothing */
  timeoutMs(priority: number, asked: number | null): number {
    const { queueTimeoutMs, allowTimeoutOverride } = this.of(priority);
    const allowedMs = queueTimeoutMs ?? Number.POSITIVE_INFINITY;
    return allowTimeoutOverride && asked !== null ? Math.min(asked, allowedMs) : allowedMs;
  }
}
