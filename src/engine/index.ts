export type { Finding } from "./check-protocol.ts";
export { describeGpus } from "./describe-gpus.ts";
export { describeService, type ServiceDescription } from "./describe-service.ts";
export type { Job, JobResult } from "./job.ts";
export { checkPlugin } from "./plugin-check.ts";
export { readGpus } from "./read-gpus.ts";
export { ServiceRunner, type ServiceRunnerOptions } from "./service-runner.ts";
export type { ServiceEvent } from "./supervisor.ts";
export { verifySandbox } from "./verify-sandbox.ts";
