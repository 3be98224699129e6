export { describeService, type ServiceDescription } from "./describe-service.ts";
export type { HostFacts } from "./host-process.ts";
export type { Job, JobResult } from "./job.ts";
export {
  type ServiceEvent,
  ServiceRunner,
  type ServiceRunnerOptions,
  type ServiceState,
} from "./service-runner.ts";
