import type { Service } from "./inference.ts";
import type { Duration, ServiceStatistics } from "./service-statistics.ts";

/**
 * A service's counters as the protocol has them. An inference is an item, an execution a run of the plugin; what the cache
 * answered is neither.
 */
export function modelStatistics({ conf, runner }: Service, statistics: ServiceStatistics) {
  const { success, failure, queue, input, run, output, cacheHit, cacheMiss } = statistics;
  const { memoryBytes } = runner;
  return {
    name: conf.name,
    version: conf.version,
    last_inference: statistics.lastCallMs,
    inference_count: statistics.items,
    execution_count: statistics.executions,
    inference_stats: {
      success: copy(success),
      fail: copy(failure),
      queue: copy(queue),
      ...computeOf({ input, run, output }),
      cache_hit: copy(cacheHit),
      cache_miss: copy(cacheMiss),
    },
    batch_stats: [...statistics.runs]
      .sort(([size], [other]) => size - other)
      .map(([size, runs]) => ({ batch_size: size, ...computeOf(runs) })),
    memory_usage: memoryBytes === 0 ? [] : [{ type: "CPU", id: 0, byte_size: memoryBytes }],
  };
}

function computeOf({ input, run, output }: Record<"input" | "run" | "output", Duration>) {
  return { compute_input: copy(input), compute_infer: copy(run), compute_output: copy(output) };
}

/** Sent later than it is read. */
function copy({ count, ns }: Duration): Duration {
  return { count, ns };
}
