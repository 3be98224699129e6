import type { ServiceState } from "../engine/index.ts";
import type { ErrorCode } from "../errors.ts";
import type { MonitorEvent } from "./event-list.ts";

/** What a server is and does at a moment, for people and for programs that look after it. */
export interface ServerStatus {
  readonly version: string;
  readonly startedMs: number;
  readonly uptimeMs: number;
  readonly isReady: boolean;
  readonly license: LicenseInForce;
  readonly services: readonly ServedService[];
  readonly devices: readonly DeviceStatus[];
  /** Oldest first. */
  readonly events: readonly MonitorEvent[];
}

export interface LicenseInForce {
  readonly licenseId: string;
  readonly sequence: number;
  readonly expires: string;
  readonly phase: "valid" | "grace" | "expired";
  /** Whole days until the phase ends. */
  readonly daysLeft: number;
}

export interface ServedService {
  readonly name: string;
  readonly version: string;
  readonly state: ServiceState;
  /** null where there is no process, as below. */
  readonly pid: number | null;
  readonly running: number;
  readonly waiting: number;
  readonly concurrency: number;
  /** What its process waits for before it can start, in words; null where it does not. */
  readonly waitsFor: string | null;
  /** The GPUs that are kept for it, such as `gpu:0`. */
  readonly devices: readonly string[];
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  /** The most that its processes were seen with; 0 where nobody looked, or the driver does not tell. */
  readonly peakMemoryBytes: number;
  readonly peakGpuMemoryBytes: number;
  /** Processes that were started after the first one. */
  readonly restarts: number;
  /** Ends of the process since a job last succeeded. */
  readonly endsInARow: number;
  /** Why the process last ended, or why there is none. */
  readonly lastError: { readonly code: ErrorCode; readonly message: string } | null;
  /** Whole days until the license of the service ends. */
  readonly daysLeft: number;
  /** null for unlimited. */
  readonly runsLeft: number | null;
  /** Calls that have ended since the server started. */
  readonly succeeded: number;
  readonly failed: number;
  /** Running jobs whose heartbeat stands still. */
  readonly stuck: number;
  readonly isMemoryGrowing: boolean;
  readonly isFailing: boolean;
  /** Jobs in the store; null where nobody can tell at the moment. */
  readonly jobs: { readonly queued: number; readonly running: number } | null;
  readonly logLines: { readonly kept: number; readonly dropped: number };
}

/** A processor that services run on, without a serial number. */
export interface DeviceStatus {
  readonly name: string;
  readonly model: string | null;
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly utilizationPercent: number | null;
  readonly temperatureC: number | null;
  /** Why nothing can be run on it, in words; null where something can. */
  readonly fault: string | null;
}
