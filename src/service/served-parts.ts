import type { Inference } from "./inference.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { LogSettings } from "./log-settings.ts";
import type { Repository } from "./repository.ts";
import type { SharedMemory } from "./shared-memory.ts";
import type { Tracing } from "./tracing.ts";

/** What every edge puts on its wire. */
export interface ServedParts {
  readonly inference: Inference;
  readonly repository: Repository;
  readonly jobs: Jobs;
  readonly sharedMemory: SharedMemory;
  readonly tracing: Tracing;
  readonly logSettings: LogSettings;
  readonly version: string;
  /** Whether the server takes calls and every service is ready. */
  isReady(): boolean;
}
