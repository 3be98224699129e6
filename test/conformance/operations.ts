/** A call of the protocol: who may make it, what it answers, and where it is on each wire. */
export interface OperationFacts {
  readonly needs: string;
  readonly answers: string;
  /** Method and path over REST; null where REST has no such call. */
  readonly rest: string | null;
  /** Its method in Triton's Python clients. */
  readonly python: string;
}

const ofService = "/v2/models/{model}[/versions/{version}]";
const sameNeed = "`operator`, and a grant for the service";

/** Every call of inference.GRPCInferenceService, in the order of the .proto file. */
export const operations = {
  ServerLive: {
    needs: "nothing",
    answers: "that the process answers",
    rest: "GET /v2/health/live",
    python: "is_server_live",
  },
  ServerReady: {
    needs: "nothing",
    answers: "whether every service takes calls",
    rest: "GET /v2/health/ready",
    python: "is_server_ready",
  },
  ModelReady: {
    needs: "`viewer`",
    answers: "whether one service takes calls",
    rest: `GET ${ofService}/ready`,
    python: "is_model_ready",
  },
  ServerMetadata: {
    needs: "`viewer`",
    answers: "name, version and extensions of the server",
    rest: "GET /v2",
    python: "get_server_metadata",
  },
  ModelMetadata: {
    needs: "`viewer`",
    answers: "the service's tensors: names, datatypes, shapes",
    rest: `GET ${ofService}`,
    python: "get_model_metadata",
  },
  ModelConfig: {
    needs: "`viewer`",
    answers: "the same as a configuration, and what the vendor tells clients (`parameters`)",
    rest: `GET ${ofService}/config`,
    python: "get_model_config",
  },
  ModelInfer: {
    needs: "`client`, and a grant for the service",
    answers: "tensors in, tensors out",
    rest: `POST ${ofService}/infer`,
    python: "infer",
  },
  ModelStreamInfer: {
    needs: "the same, for each request",
    answers: "many of these over one call",
    rest: null,
    python: "async_stream_infer",
  },
  ModelStatistics: {
    needs: "`viewer`",
    answers: "how often a service, or each, succeeded and failed, and where the time went",
    rest: `GET ${ofService}/stats`,
    python: "get_inference_statistics",
  },
  RepositoryIndex: {
    needs: "`viewer`",
    answers: "the licensed services and whether they are loaded",
    rest: "POST /v2/repository/index",
    python: "get_model_repository_index",
  },
  RepositoryModelLoad: {
    needs: sameNeed,
    answers: "starts the process of a service that was unloaded",
    rest: "POST /v2/repository/models/{model}/load",
    python: "load_model",
  },
  RepositoryModelUnload: {
    needs: sameNeed,
    answers: "ends a service's process, after its jobs",
    rest: "POST /v2/repository/models/{model}/unload",
    python: "unload_model",
  },
  SystemSharedMemoryStatus: {
    needs: "`client`",
    answers: "the caller's regions of shared memory",
    rest: "GET /v2/systemsharedmemory[/region/{region}]/status",
    python: "get_system_shared_memory_status",
  },
  SystemSharedMemoryRegister: {
    needs: "`client`",
    answers: "takes a region",
    rest: "POST /v2/systemsharedmemory/region/{region}/register",
    python: "register_system_shared_memory",
  },
  SystemSharedMemoryUnregister: {
    needs: "`client`",
    answers: "lets go of a region, or all of the caller's",
    rest: "POST /v2/systemsharedmemory[/region/{region}]/unregister",
    python: "unregister_system_shared_memory",
  },
  CudaSharedMemoryStatus: {
    needs: "`client`",
    answers: "that there are none",
    rest: "GET /v2/cudasharedmemory[/region/{region}]/status",
    python: "get_cuda_shared_memory_status",
  },
  CudaSharedMemoryRegister: {
    needs: "`client`",
    answers: "`NOT_IMPLEMENTED`",
    rest: "POST /v2/cudasharedmemory/region/{region}/register",
    python: "register_cuda_shared_memory",
  },
  CudaSharedMemoryUnregister: {
    needs: "`client`",
    answers: "nothing, since there is nothing to let go of",
    rest: "POST /v2/cudasharedmemory[/region/{region}]/unregister",
    python: "unregister_cuda_shared_memory",
  },
  TraceSetting: {
    needs: "`operator` of every service, or of the one it names",
    answers: "reads and changes what is traced",
    rest: "GET and POST /v2[/models/{model}]/trace/setting",
    python: "get_trace_settings, update_trace_settings",
  },
  LogSettings: {
    needs: "`operator` of every service",
    answers: "reads and changes what the server's log has",
    rest: "GET and POST /v2/logging",
    python: "get_log_settings, update_log_settings",
  },
} as const satisfies Record<string, OperationFacts>;

export type Operation = keyof typeof operations;
