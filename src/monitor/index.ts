export { Administration, type JobLoad, type LogQuery, MAX_LINES } from "./administration.ts";
export { type MonitorEvent, type MonitorKind, monitorKinds } from "./event-list.ts";
export type { DeviceStatus, ServedService, ServerStatus } from "./server-status.ts";
export { type ServiceHealth, ServiceMonitor } from "./service-monitor.ts";
