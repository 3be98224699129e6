export type { Finding } from "./check-protocol.ts";
export { describeService } from "./describe-service.ts";
export type { Job } from "./job.ts";
export { checkPlugin, type PluginCheckOptions } from "./plugin-check.ts";
export { ServiceRunner, type ServiceRunnerOptions } from "./service-runner.ts";
export type { ServiceEvent } from "./supervisor.ts";
