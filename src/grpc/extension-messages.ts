import type { RepositoryEntry } from "../service/index.ts";

/**
 * The messages of the protocol's extensions, in the form that messages.ts describes.
 */

type Int64 = string | number;
type Empty = Record<string, never>;

export interface StatisticDurationMessage {
  count: Int64;
  ns: Int64;
}

export interface ModelStatisticsMessage {
  name: string;
  version: string;
  last_inference: Int64;
  inference_count: Int64;
  execution_count: Int64;
  inference_stats: Record<
    "success" | "fail" | "queue" | "compute_input" | "compute_infer" | "compute_output" | "cache_hit" | "cache_miss",
    StatisticDurationMessage
  >;
  batch_stats: {
    batch_size: Int64;
    compute_input: StatisticDurationMessage;
    compute_infer: StatisticDurationMessage;
    compute_output: StatisticDurationMessage;
  }[];
  memory_usage: { type: string; id: Int64; byte_size: Int64 }[];
}

export interface RepositoryRequestMessage {
  repository_name: string;
}

export interface RepositoryModelMessage extends RepositoryRequestMessage {
  model_name: string;
  parameters: Record<string, { bool_param?: boolean }>;
}

export interface RegionMessage {
  name: string;
  key: string;
  offset: Int64;
  byte_size: Int64;
}

export type TraceSettingsMessage = Record<string, { value: string[] }>;

/** At most one of the values is set. */
export interface LogSettingMessage {
  bool_param?: boolean;
  uint32_param?: number;
  string_param?: string;
}

/** Every call of the extensions with its request and response. */
export interface ExtensionCalls {
  ModelStatistics: [{ name: string; version: string }, { model_stats: ModelStatisticsMessage[] }];
  RepositoryIndex: [RepositoryRequestMessage & { ready: boolean }, { models: RepositoryEntry[] }];
  RepositoryModelLoad: [RepositoryModelMessage, Empty];
  RepositoryModelUnload: [RepositoryModelMessage, Empty];
  SystemSharedMemoryStatus: [{ name: string }, { regions: Record<string, RegionMessage> }];
  SystemSharedMemoryRegister: [RegionMessage, Empty];
  SystemSharedMemoryUnregister: [{ name: string }, Empty];
  CudaSharedMemoryStatus: [{ name: string }, { regions: Record<string, never> }];
  CudaSharedMemoryRegister: [{ name: string }, Empty];
  CudaSharedMemoryUnregister: [{ name: string }, Empty];
  TraceSetting: [{ settings: TraceSettingsMessage; model_name: string }, { settings: TraceSettingsMessage }];
  LogSettings: [{ settings: Record<string, LogSettingMessage> }, { settings: Record<string, LogSettingMessage> }];
}
