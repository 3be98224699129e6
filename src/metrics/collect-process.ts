import { readdirSync } from "node:fs";
import type { EventLoopLag } from "./event-loop-lag.ts";
import type { Scrape } from "./scrape.ts";

const startedSeconds = performance.timeOrigin / 1000;

/** The gateway itself, under the names that programs of any kind use for this. */
export function collectProcess(scrape: Scrape, lag: EventLoopLag): void {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  scrape.add("signet_event_loop_lag_seconds", {}, lag.histogram);
  scrape.add("process_cpu_seconds_total", {}, (user + system) / 1e6);
  scrape.add("process_resident_memory_bytes", {}, rss);
  scrape.add("process_start_time_seconds", {}, startedSeconds);
  const descriptors = countDescriptors();
  if (descriptors !== undefined) scrape.add("process_open_fds", {}, descriptors);
  scrape.add("nodejs_heap_size_used_bytes", {}, heapUsed);
  scrape.add("nodejs_external_memory_bytes", {}, external);
}

/** Undefined where not even one more can be opened, which must not cost the operator all the rest. */
function countDescriptors(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length - 1; // one of them reads the directory
  } catch {
    return undefined;
  }
}
