export { createLog, type Log } from "./log.ts";
export { openRunLog, type RunLog } from "./run-log.ts";
export { Secret } from "./secret.ts";
