export { AdminClient } from "./admin-client.ts";
export type {
  LogFilterMessage,
  LogLineMessage,
  ServerStatusMessage,
  ServiceStatusMessage,
} from "./admin-messages.ts";
export { InferenceClient } from "./client.ts";
export { askHealth } from "./health-client.ts";
export {
  type JobFilter,
  type JobInfo,
  type JobSubmission,
  JobsClient,
  type JobUpdate,
  type ResultDownload,
  type ResultOutput,
} from "./jobs-client.ts";
export { type InferRequestMessage, inferenceService } from "./messages.ts";
export { GrpcServer } from "./server.ts";
export { type ClientOptions, ServiceClient } from "./service-client.ts";
