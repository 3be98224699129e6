import { type ServiceState, serviceStates } from "../engine/index.ts";
import type { ErrorCode } from "../errors.ts";
import type { LogMonitor } from "../logs/index.ts";
import type { ServiceMonitor } from "../monitor/index.ts";
import type { Inference, ProcessTally, Service, ServiceStatistics } from "../service/index.ts";
import type { Scrape } from "./scrape.ts";

export interface ServiceParts {
  readonly inference: Inference;
  readonly processes: ProcessTally;
  readonly monitor: ServiceMonitor;
  readonly logs: LogMonitor;
  memoryLimitOf(service: string): number;
}

/** What the services did and do, under Signet's names and under Triton's. */
export function collectServices(scrape: Scrape, parts: ServiceParts): void {
  const { inference, processes } = parts;
  for (const service of inference.services) {
    const statistics = inference.statisticsOf(service);
    collectRequests(scrape, service, statistics);
    collectProcess(scrape, service, processes);
    collectMonitored(scrape, service, parts);
    collectAliases(scrape, service, statistics);
  }
}

function collectRequests(scrape: Scrape, { conf, runner }: Service, statistics: ServiceStatistics): void {
  const of = { service: conf.name, version: conf.version };
  const { success, failures, queue, run, cacheHit, cacheMiss } = statistics;
  scrape.add("signet_requests_total", { ...of, code: "OK" }, success.count);
  for (const [code, count] of failures) scrape.add("signet_requests_total", { ...of, code }, count);
  scrape.add("signet_request_duration_seconds", of, success);
  scrape.add("signet_queue_duration_seconds", of, queue);
  scrape.add("signet_run_duration_seconds", of, run);
  scrape.add("signet_response_cache_lookups_total", { ...of, result: "hit" }, cacheHit.count);
  scrape.add("signet_response_cache_lookups_total", { ...of, result: "miss" }, cacheMiss.count);
  scrape.add("signet_running_requests", of, runner.running);
  scrape.add("signet_queued_requests", of, runner.queued);
  scrape.add("signet_concurrency_limit", of, conf.limits.concurrency);
}

function collectProcess(scrape: Scrape, { conf, runner }: Service, processes: ProcessTally): void {
  const of = { service: conf.name, version: conf.version };
  const states: readonly ServiceState[] = serviceStates;
  scrape.addState("signet_service_state", states, runner.state, (state) => ({ ...of, state }));
  scrape.add("signet_service_memory_bytes", of, runner.memoryBytes);
  const { starts, ends } = processes.of(conf.name);
  scrape.add("signet_service_process_starts_total", of, starts);
  for (const [code, count] of ends) scrape.add("signet_service_process_ends_total", { ...of, code }, count);
}

function collectMonitored(scrape: Scrape, { conf, runner }: Service, parts: ServiceParts): void {
  const { monitor, logs, memoryLimitOf } = parts;
  const of = { service: conf.name, version: conf.version };
  scrape.add("signet_service_process_ends_in_a_row", of, runner.endsInARow);
  scrape.add("signet_service_memory_limit_bytes", of, memoryLimitOf(conf.name));
  scrape.add("signet_service_stuck_requests", of, monitor.healthOf(conf.name).stuck);
  for (const [kind, count] of monitor.countsOf(conf.name)) {
    scrape.add("signet_service_events_total", { ...of, kind }, count);
  }
  const { kept, dropped } = logs.countsOf(conf.name);
  scrape.add("signet_service_log_lines_total", { ...of, result: "kept" }, kept);
  scrape.add("signet_service_log_lines_total", { ...of, result: "dropped" }, dropped);
}

/** Names, labels and units are Triton's, so that dashboards made for it show a Signet server too. */
function collectAliases(scrape: Scrape, { conf, runner }: Service, statistics: ServiceStatistics): void {
  const of = { model: conf.name, version: conf.version };
  const { success, failures, queue, input, run, output, cacheHit, cacheMiss } = statistics;
  scrape.add("nv_inference_request_success", of, success.count);
  const reasons: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 };
  for (const [code, count] of failures) reasons[reasonOf(code)] += count;
  for (const [reason, count] of Object.entries(reasons)) {
    scrape.add("nv_inference_request_failure", { ...of, reason }, count);
  }
  scrape.add("nv_inference_count", of, statistics.items);
  scrape.add("nv_inference_exec_count", of, statistics.executions);
  scrape.add("nv_inference_request_duration_us", of, success.ns / 1000);
  scrape.add("nv_inference_queue_duration_us", of, queue.ns / 1000);
  scrape.add("nv_inference_compute_input_duration_us", of, input.ns / 1000);
  scrape.add("nv_inference_compute_infer_duration_us", of, run.ns / 1000);
  scrape.add("nv_inference_compute_output_duration_us", of, output.ns / 1000);
  scrape.add("nv_inference_pending_request_count", of, runner.queued);
  scrape.add("nv_cache_num_hits_per_model", of, cacheHit.count);
  scrape.add("nv_cache_num_misses_per_model", of, cacheMiss.count);
  scrape.add("nv_cache_hit_duration_per_model", of, cacheHit.ns / 1000);
  scrape.add("nv_cache_miss_duration_per_model", of, cacheMiss.ns / 1000);
}

type FailureReason = "REJECTED" | "CANCELED" | "BACKEND" | "OTHER";

/** As Triton tells failures apart: before they ran, by their callers, by the model. */
const reasons: Partial<Record<ErrorCode, FailureReason>> = {
  QUEUE_FULL: "REJECTED",
  SERVICE_BUSY: "REJECTED",
  SERVICE_NOT_READY: "REJECTED",
  SERVICE_UNLOADED: "REJECTED",
  SERVICE_QUARANTINED: "REJECTED",
  DEADLINE_EXCEEDED: "REJECTED",
  CANCELLED: "CANCELED",
  PLUGIN_FAILED: "BACKEND",
  SERVICE_CRASHED: "BACKEND",
  SERVICE_UNRESPONSIVE: "BACKEND",
  OUTPUT_TOO_LARGE: "BACKEND",
  SERVICE_OUT_OF_MEMORY: "BACKEND",
  SERVICE_PROTOCOL: "BACKEND",
  JOB_TIME_EXCEEDED: "BACKEND",
};

function reasonOf(code: ErrorCode): FailureReason {
  return reasons[code] ?? "OTHER";
}
