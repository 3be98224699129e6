export { Histogram, INDEX_OFFSET, SCHEMA, ZERO_THRESHOLD_SECONDS } from "./histogram.ts";
export { isoNow } from "./iso-now.ts";
export { type LineFile, openLineFile, rotatedName } from "./line-file.ts";
export { createLog, type Log, type LogFormat, logControlOf } from "./log.ts";
export { prettyLine } from "./pretty-line.ts";
export { redactText } from "./redact-text.ts";
export { openRunLog, type RunLog } from "./run-log.ts";
export { Secret } from "./secret.ts";
