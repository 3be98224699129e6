import { z } from "zod";

/** The settings that say which call runs when: the sections of a service's queue, priorities and batches. */

const MAX_TIMER_MS = 2 ** 31 - 1; // setTimeout fires at once beyond this
export const durationMs = z.int().min(0).max(MAX_TIMER_MS);
const batchSize = z.int().min(1).max(65_536);

/** How calls wait for a service, in all of its queue or in that of one priority. */
export const queueFields = {
  maxQueue: z.int().min(0).max(1_000_000).describe("Calls that may wait for the service; one more is refused."),
  queueTimeoutMs: durationMs
    .nullable()
    .describe("How long a call may wait before it is given up, in milliseconds; null means as long as its deadline."),
  queueTimeoutAction: z
    .enum(["reject", "delay"])
    .describe(
      "What becomes of a call that waited so long: `reject` gives it up, `delay` lets it wait on behind all others of its priority that have not.",
    ),
  allowTimeoutOverride: z
    .boolean()
    .describe("Whether a call may ask for less time to wait than that, with the parameter `timeout`."),
};

/** How calls are told apart by what they say of their urgency. */
export const priorities = z
  .strictObject({
    levels: z
      .int()
      .min(0)
      .max(99)
      .default(0)
      .describe("How many priorities there are, from 1, the most urgent; with 0 any number is a priority of its own."),
    default: z
      .int()
      .min(0)
      .max(99)
      .default(0)
      .describe("The priority of calls that name none, or one that is not there; 0 means the last."),
    queues: z
      .record(z.string().regex(/^[1-9][0-9]?$/), z.strictObject(queueFields).partial())
      .default({})
      .describe(
        "What is different for calls of one priority, by its number: any of `maxQueue`, `queueTimeoutMs`, `queueTimeoutAction` and `allowTimeoutOverride`.",
      ),
  })
  .refine(({ levels, default: fallback }) => fallback <= levels, {
    path: ["default"],
    message: "expected at most as many as levels says",
  })
  .refine(({ levels, queues }) => Object.keys(queues).every((level) => Number(level) <= levels), {
    path: ["queues"],
    message: "expected no priority beyond levels",
  });

/** How calls run together. */
export const batching = z.strictObject({
  maxSize: batchSize
    .nullable()
    .default(null)
    .describe(
      "The most items that calls are put together to, at most what the license says; null means that, 1 runs each call alone.",
    ),
  preferredSizes: z
    .array(batchSize)
    .max(32)
    .default([])
    .describe("Numbers of items that are run at once where they can be made, without waiting for more."),
  maxQueueDelayUs: z
    .int()
    .min(0)
    .max(60_000_000)
    .default(0)
    .describe(
      "How long a call may be kept for others to come while a worker is free, in microseconds; 0 runs at once what waits.",
    ),
});
