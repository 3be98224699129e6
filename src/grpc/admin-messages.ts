import { fileURLToPath } from "node:url";
import type { handleServerStreamingCall, handleUnaryCall, MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/**
 * The messages of proto/signet/v1/admin.proto as proto-loader gives and takes them: names in camel case, since commands
 * print them as JSON, and all integers as numbers, since none is larger than those can be.
 */

type Empty = Record<string, never>;

export interface ServerStatusMessage {
  version: string;
  startedMs: number;
  uptimeMs: number;
  ready: boolean;
  license: { licenseId: string; sequence: number; expires: string; phase: string; daysLeft: number } | null;
  services: ServiceStatusMessage[];
  devices: DeviceStatusMessage[];
  events: MonitorEventMessage[];
}

export interface ServiceStatusMessage {
  name: string;
  version: string;
  state: string;
  pid: number;
  running: number;
  waiting: number;
  concurrency: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  restarts: number;
  endsInARow: number;
  lastError: { code: string; message: string } | null;
  daysLeft: number;
  runsLeft: number;
  succeeded: number;
  failed: number;
  stuck: number;
  memoryGrowing: boolean;
  failing: boolean;
  jobs: { queued: number; running: number } | null;
  waitsFor: string;
  devices: string[];
  peakMemoryBytes: number;
  peakGpuMemoryBytes: number;
  logLines: number;
  logLinesDropped: number;
}

export interface DeviceStatusMessage {
  name: string;
  model: string;
  totalBytes: number;
  usedBytes: number;
  utilizationPercent: number;
  temperatureC: number;
  fault: string;
}

export interface MonitorEventMessage {
  service: string;
  kind: string;
  code: string;
  message: string;
  firstMs: number;
  lastMs: number;
  count: number;
}

export type LogSourceMessage = "LOG_SOURCE_UNSPECIFIED" | "LOG_SOURCE_SERVICE" | "LOG_SOURCE_PLATFORM";

export interface LogFilterMessage {
  service: string;
  /** A number where it is one that is not known. */
  source: LogSourceMessage | number;
  jobId: string;
  stream: string;
  level: string;
  sinceMs: number;
  text: string;
}

export interface LogLineMessage {
  timeMs: number;
  source: LogSourceMessage;
  service: string;
  stream: string;
  level: string;
  pid: number;
  jobIds: string[];
  text: string;
}

export interface TailMessage {
  line: LogLineMessage | null;
  skipped: number;
}

interface AdminCalls {
  GetServerStatus: [Empty, ServerStatusMessage];
  ReleaseService: [{ service: string }, Empty];
  SearchLogs: [{ filter: LogFilterMessage | null; limit: number }, { lines: LogLineMessage[]; cut: boolean }];
}

type TailCall = [{ filter: LogFilterMessage | null; last: number }, TailMessage];

export type AdminHandlers = {
  [Call in keyof AdminCalls]: handleUnaryCall<AdminCalls[Call][0], AdminCalls[Call][1]>;
} & { TailLogs: handleServerStreamingCall<TailCall[0], TailCall[1]> };

export type AdminService = ServiceDefinition & {
  [Call in keyof AdminCalls]: MethodDefinition<AdminCalls[Call][0], AdminCalls[Call][1]>;
} & { TailLogs: MethodDefinition<TailCall[0], TailCall[1]> };

let loaded: AdminService | undefined;

/** The service definition for a grpc-js server or client; the .proto file is read on the first call. */
export function adminService(): AdminService {
  if (loaded === undefined) {
    const file = fileURLToPath(new URL("../../proto/signet/v1/admin.proto", import.meta.url));
    const definition = loadSync(file, {
      ...{ keepCase: false, longs: Number, enums: String },
      ...{ defaults: true, arrays: true, objects: true },
    });
    loaded = definition["signet.v1.AdminService"] as unknown as AdminService;
  }
  return loaded;
}
