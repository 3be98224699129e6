export { verifyBindable } from "./bind.ts";
export { InferenceClient, type InferenceClientOptions } from "./client.ts";
export { createCredentials } from "./credentials.ts";
export { CODE_KEY, errorFromGrpcStatus, grpcStatusFromError } from "./errors.ts";
export { askHealth } from "./health-client.ts";
export {
  type InferenceHandlers,
  type InferenceService,
  type InferRequestMessage,
  type InferResponseMessage,
  inferenceService,
  type ModelConfigMessage,
  type ModelMetadataMessage,
  type NamedModelMessage,
  type ServerMetadataMessage,
} from "./messages.ts";
export { GrpcServer, type GrpcServerOptions } from "./server.ts";
export { decodeInferRequest, encodeInferResponse, type InferRequest } from "./tensors.ts";
