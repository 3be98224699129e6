export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
}

const service = ["service", "version"] as const;
const model = ["model", "version"] as const;

/**
 * Every metric there is; docs/reference/metrics.md is made from this. Label values come from the license, the catalogue
 * of errors and this code, and never from a client, so that nobody can make series without end.
 */
export const metricCatalogue = {
  signet_build_info: { type: "gauge", labels: ["version", "node"], help: "1; the labels say what runs." },
  signet_ready: { type: "gauge", labels: [], help: "Whether the server takes calls and every service is ready." },

  signet_service_state: {
    type: "gauge",
    labels: [...service, "state"],
    help: "1 for the state that the service is in, 0 for the others.",
  },
  signet_requests_total: {
    type: "counter",
    labels: [...service, "code"],
    help: "Inference requests that have ended, by outcome: OK, or the code of the error.",
  },
  signet_request_duration_seconds: {
    type: "histogram",
    labels: service,
    help: "From a request's arrival to its result, of requests that succeeded.",
  },
  signet_queue_duration_seconds: {
    type: "histogram",
    labels: service,
    help: "How long a request waited for its turn, of requests that succeeded.",
  },
  signet_run_duration_seconds: {
    type: "histogram",
    labels: service,
    help: "How long the plugin ran, of requests that succeeded.",
  },
  signet_response_cache_lookups_total: {
    type: "counter",
    labels: [...service, "result"],
    help: "Requests that succeeded and were looked for in the response cache: hit or miss.",
  },
  signet_running_requests: { type: "gauge", labels: service, help: "Requests that the plugin works on." },
  signet_queued_requests: { type: "gauge", labels: service, help: "Requests that wait for their turn." },
  signet_concurrency_limit: {
    type: "gauge",
    labels: service,
    help: "Requests that may run at the same time, as licensed.",
  },
  signet_service_memory_bytes: {
    type: "gauge",
    labels: service,
    help: "Private memory of the service's process; 0 where there is none.",
  },
  signet_service_process_starts_total: {
    type: "counter",
    labels: service,
    help: "Times that a process of the service was started.",
  },
  signet_service_process_ends_total: {
    type: "counter",
    labels: [...service, "code"],
    help: "Times that a process of the service ended when nobody wanted it to, by what happened.",
  },
  signet_service_process_ends_in_a_row: {
    type: "gauge",
    labels: service,
    help: "How often its process ended since a request last succeeded; at quarantineAfter it is not started again.",
  },
  signet_service_memory_limit_bytes: {
    type: "gauge",
    labels: service,
    help: "What the service's process may have; beyond it, it is restarted.",
  },
  signet_service_stuck_requests: {
    type: "gauge",
    labels: service,
    help: "Requests that the plugin works on whose heartbeat stands still although it declares progress.",
  },
  signet_service_events_total: {
    type: "counter",
    labels: [...service, "kind"],
    help: "What the status monitor noticed: ended, quarantined, released, refused, stuck, memory, failing or recovered.",
  },
  signet_service_log_lines_total: {
    type: "counter",
    labels: [...service, "result"],
    help: "Lines that the plugin printed: kept, or dropped because they came too fast or the disk did not take them.",
  },

  signet_jobs_queued: {
    type: "gauge",
    labels: ["service"],
    help: "Jobs that wait for their turn, as the store had it up to two seconds ago.",
  },
  signet_jobs_running: { type: "gauge", labels: ["service"], help: "Jobs that run, on any host, as of the same time." },
  signet_job_attempts_total: {
    type: "counter",
    labels: ["service", "outcome"],
    help: "Attempts of jobs that ended here: succeeded, failed, cancelled, retried, or given-back before they began.",
  },
  signet_job_store_up: {
    type: "gauge",
    labels: [],
    help: "Whether the store of jobs answered when it was last asked.",
  },

  signet_gpu_memory_total_bytes: {
    type: "gauge",
    labels: ["device"],
    help: "Memory of a GPU, or of a partition of one (gpu:0:1).",
  },
  signet_gpu_memory_used_bytes: {
    type: "gauge",
    labels: ["device"],
    help: "Measured, by whomever it is used and with what the driver takes.",
  },
  signet_gpu_memory_reserved_bytes: {
    type: "gauge",
    labels: ["device"],
    help: "What is kept for services, whether they use it or not.",
  },
  signet_gpu_utilization_ratio: {
    type: "gauge",
    labels: ["device"],
    help: "The share of time in which something ran, 0 to 1; left out where the driver does not tell, as with MIG.",
  },
  signet_gpu_temperature_celsius: { type: "gauge", labels: ["device"], help: "As the driver tells it." },
  signet_gpu_usable: {
    type: "gauge",
    labels: ["device"],
    help: "0 where nothing can be run on it, such as one that has fallen off the bus; the log says why.",
  },
  signet_service_gpu_memory_peak_bytes: {
    type: "gauge",
    labels: service,
    help: "The most of one GPU that its process was seen to use since the server started, where the driver tells.",
  },

  signet_license_info: {
    type: "gauge",
    labels: ["license_id", "sequence", "kind", "enforcement"],
    help: "1; the labels say which license is in force.",
  },
  signet_license_expiry_timestamp_seconds: {
    type: "gauge",
    labels: service,
    help: "When the license of the service expires, its days of grace not counted.",
  },
  signet_license_days_left: {
    type: "gauge",
    labels: service,
    help: "Days until then, by a clock that cannot be set back; negative afterwards.",
  },
  signet_license_phase: {
    type: "gauge",
    labels: [...service, "phase"],
    help: "1 for where the license of the service stands, 0 for the others: valid, grace or expired.",
  },
  signet_license_refused: {
    type: "gauge",
    labels: service,
    help: "Whether the license refuses calls of the service: it is not its time, or nothing is left.",
  },
  signet_license_runs_charged_total: {
    type: "counter",
    labels: service,
    help: "Runs that the ledger has charged under the license, by earlier servers too.",
  },
  signet_license_runs_limit: { type: "gauge", labels: service, help: "Licensed runs; left out where unlimited." },
  signet_license_runs_left: { type: "gauge", labels: service, help: "What is left of them; left out where unlimited." },
  signet_license_run_time_charged_seconds_total: {
    type: "counter",
    labels: service,
    help: "Run time that the ledger has charged under the license, by earlier servers too.",
  },
  signet_license_run_time_left_seconds: {
    type: "gauge",
    labels: service,
    help: "What is left of the licensed run time; left out where unlimited.",
  },
  signet_license_renewal_refused: {
    type: "gauge",
    labels: [],
    help: "Whether the installed license is refused, and not the one in force.",
  },
  signet_ledger_fault: {
    type: "gauge",
    labels: [],
    help: "Whether the usage ledger cannot be written, so that no run can be charged and none starts.",
  },

  signet_calls_refused_total: {
    type: "counter",
    labels: ["code"],
    help: "Calls of any kind that were refused because of who called, or how often; the audit log has their callers.",
  },
  signet_connections: { type: "gauge", labels: ["listener"], help: "Open connections." },
  signet_connections_accepted_total: { type: "counter", labels: ["listener"], help: "Connections since the start." },
  signet_connections_refused_total: {
    type: "counter",
    labels: ["listener", "reason"],
    help: "Connections that the server ended because of what the client did.",
  },
  signet_received_bytes_total: {
    type: "counter",
    labels: ["listener"],
    help: "Bytes from clients, as they were on the network.",
  },
  signet_sent_bytes_total: {
    type: "counter",
    labels: ["listener"],
    help: "Bytes to clients, as they were on the network.",
  },
  signet_tls_certificate_expiry_timestamp_seconds: {
    type: "gauge",
    labels: [],
    help: "When the server's TLS certificate expires; left out without TLS.",
  },

  signet_event_loop_lag_seconds: {
    type: "histogram",
    labels: [],
    help: "How much later than asked a timer of the gateway fired, looked at 50 times a second.",
  },
  process_cpu_seconds_total: { type: "counter", labels: [], help: "Processor time of the gateway, user and system." },
  process_resident_memory_bytes: { type: "gauge", labels: [], help: "Resident memory of the gateway." },
  process_start_time_seconds: { type: "gauge", labels: [], help: "When the gateway started, since 1970." },
  process_open_fds: { type: "gauge", labels: [], help: "Open file descriptors of the gateway." },
  nodejs_heap_size_used_bytes: { type: "gauge", labels: [], help: "JavaScript heap of the gateway that is in use." },
  nodejs_external_memory_bytes: { type: "gauge", labels: [], help: "Memory of the gateway outside of that heap." },

  nv_inference_request_success: { type: "counter", labels: model, help: "Requests that succeeded." },
  nv_inference_request_failure: {
    type: "counter",
    labels: [...model, "reason"],
    help: "Requests that failed, by Triton's reasons: REJECTED, CANCELED, BACKEND or OTHER.",
  },
  nv_inference_count: { type: "counter", labels: model, help: "Inferences that were done." },
  nv_inference_exec_count: { type: "counter", labels: model, help: "Times that the plugin ran." },
  nv_inference_request_duration_us: {
    type: "counter",
    labels: model,
    help: "Time from arrival to result, together, of requests that succeeded; microseconds, as all of these.",
  },
  nv_inference_queue_duration_us: { type: "counter", labels: model, help: "Time of waiting for their turn, together." },
  nv_inference_compute_input_duration_us: {
    type: "counter",
    labels: model,
    help: "Time of laying inputs into shared memory, together.",
  },
  nv_inference_compute_infer_duration_us: { type: "counter", labels: model, help: "Time in the plugin, together." },
  nv_inference_compute_output_duration_us: {
    type: "counter",
    labels: model,
    help: "Time of taking outputs from shared memory, together.",
  },
  nv_inference_pending_request_count: { type: "gauge", labels: model, help: "Requests that wait for their turn." },
  nv_cache_num_hits_per_model: { type: "counter", labels: model, help: "Requests that the cache answered." },
  nv_cache_num_misses_per_model: { type: "counter", labels: model, help: "Requests that it could not answer." },
  nv_cache_hit_duration_per_model: { type: "counter", labels: model, help: "Time of finding answers, together." },
  nv_cache_miss_duration_per_model: {
    type: "counter",
    labels: model,
    help: "Time of looking in vain and of keeping what was answered, together.",
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricCatalogue;
export type LabelName<Name extends MetricName> = (typeof metricCatalogue)[Name]["labels"][number];
