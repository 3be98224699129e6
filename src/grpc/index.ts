export { AdminClient } from "./admin-client.ts";
export type {
  LogFilterMessage,
  LogLineMessage,
  ServerStatusMessage,
  ServiceStatusMessage,
} from "./admin-messages.ts";
export { InferenceClient } from "./client.ts";
export { askHealth } from "./health-client.ts";
export { type InferRequestMessage, inferenceService } from "./messages.ts";
export { GrpcServer } from "./server.ts";
export { type ClientOptions, ServiceClient } from "./service-client.ts";
