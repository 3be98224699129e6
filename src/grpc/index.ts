export { verifyBindable } from "./bind.ts";
export { InferenceClient } from "./client.ts";
export { createCredentials } from "./credentials.ts";
export { type InferRequestMessage, inferenceService } from "./messages.ts";
export { GrpcServer } from "./server.ts";
