export { createLog, type Log, type LogOptions } from "./log.ts";
export { redact } from "./redact.ts";
export { openRunLog, type RunLog, type RunRecord } from "./run-log.ts";
export { Secret } from "./secret.ts";
