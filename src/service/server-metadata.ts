import type { SharedMemory } from "./shared-memory.ts";

/** Names of the protocol for what is offered beyond its core; clients choose their calls by them. */
const extensions = [
  "classification",
  "model_repository",
  "model_repository(unload_dependents)",
  "schedule_policy",
  "model_configuration",
  "binary_tensor_data",
  "parameters",
  "statistics",
  "trace",
  "logging",
];

/** What the protocol tells of the server, in its words. */
export function serverMetadata(version: string, { isEnabled }: SharedMemory) {
  return {
    name: "signet",
    version,
    extensions: isEnabled ? [...extensions, "system_shared_memory"] : [...extensions],
  };
}
