import type { ServiceSettings } from "../config/index.ts";
import type { BatchLimits, Priorities, QueuePolicy } from "../engine/index.ts";
import type { ServiceConf } from "../license/index.ts";

/** How calls of a service wait, and which of them run together. */
export interface Scheduling extends QueuePolicy {
  readonly priorities: Priorities;
  /** Null where each call runs alone. */
  readonly batching: BatchLimits | null;
}

/** What the operator set, within what the vendor's license says of the model. */
export function schedulingOf({ maxBatchSize = 1 }: ServiceConf, settings: ServiceSettings): Scheduling {
  const { maxQueue, queueTimeoutMs, queueTimeoutAction, allowTimeoutOverride, priorities, batching } = settings;
  const maxSize = Math.min(maxBatchSize, batching.maxSize ?? maxBatchSize);
  const preferredSizes = batching.preferredSizes.filter((size) => size <= maxSize);
  const limits = { maxSize, preferredSizes, maxQueueDelayMs: batching.maxQueueDelayUs / 1000 };
  const policy = { maxQueue, queueTimeoutMs, queueTimeoutAction, allowTimeoutOverride };
  const { levels, default: fallback } = priorities;
  // What a priority leaves out is as for all.
  const own = Object.entries(priorities.queues).map(([level, queue]) => [
    level,
    { ...policy, ...queue } as QueuePolicy,
  ]);
  return {
    ...policy,
    priorities: { levels, default: fallback, queues: Object.fromEntries(own) },
    batching: maxSize > 1 ? limits : null,
  };
}
