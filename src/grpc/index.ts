export { InferenceClient, type InferenceClientOptions } from "./client.ts";
export { askHealth } from "./health-client.ts";
export { type InferRequestMessage, inferenceService } from "./messages.ts";
export { GrpcServer } from "./server.ts";
