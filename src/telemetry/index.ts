export { createLog, type Log, type LogFormat, logControlOf } from "./log.ts";
export { openRunLog, type RunLog } from "./run-log.ts";
export { Secret } from "./secret.ts";
