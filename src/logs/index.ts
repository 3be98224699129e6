export { type Level, type LogFilter, type LogLine, levels, type Stream } from "./log-line.ts";
export { type LogCounts, LogMonitor, type LogScope } from "./log-monitor.ts";
export type { FoundLines } from "./search-logs.ts";
