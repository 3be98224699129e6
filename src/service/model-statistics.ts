import type { Service } from "./inference.ts";
import type { Duration, ServiceStatistics } from "./service-statistics.ts";

/** A service's counters as the protocol has them. Each request is an inference and an execution of its own. */
export function modelStatistics({ conf, runner }: Service, statistics: ServiceStatistics) {
  const { success, failure, queue, input, run, output } = statistics;
  const compute = { compute_input: copy(input), compute_infer: copy(run), compute_output: copy(output) };
  const { memoryBytes } = runner;
  return {
    name: conf.name,
    version: conf.version,
    last_inference: statistics.lastCallMs,
    inference_count: success.count,
    execution_count: run.count,
    inference_stats: {
      success: copy(success),
      fail: copy(failure),
      queue: copy(queue),
      ...compute,
      cache_hit: none,
      cache_miss: none,
    },
    batch_stats: run.count === 0 ? [] : [{ batch_size: 1, ...compute }],
    memory_usage: memoryBytes === 0 ? [] : [{ type: "CPU", id: 0, byte_size: memoryBytes }],
  };
}

const none: Duration = { count: 0, ns: 0 };

/** Sent later than it is read. */
function copy({ count, ns }: Duration): Duration {
  return { count, ns };
}
