import { fileURLToPath } from "node:url";
import type { handleBidiStreamingCall, handleUnaryCall, MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { SignetError } from "../errors.ts";
import type { ExtensionCalls } from "./extension-messages.ts";
import { decodePlainRequest, encodePlainResponse, encodePlainStreamAnswer } from "./infer-codec.ts";
import { verifyInferRequestBytes } from "./infer-request-limits.ts";

/**
 * The messages of proto/inference.proto as proto-loader gives and takes them: names as in the file, 64-bit
 * integers as decimal strings (numbers are taken too), enums by name, bytes as views of the message.
 */

type Int64 = string | number;
type Empty = Record<string, never>;

export interface NamedModelMessage {
  name: string;
  version: string;
}

export interface ServerMetadataMessage {
  name: string;
  version: string;
  extensions: string[];
}

export interface TensorMetadataMessage {
  name: string;
  datatype: string;
  shape: Int64[];
}

export interface ModelMetadataMessage {
  name: string;
  versions: string[];
  platform: string;
  inputs: TensorMetadataMessage[];
  outputs: TensorMetadataMessage[];
}

/** At most one of the values is set; none where the client left the value out or used an unknown kind. */
export interface InferParameterMessage {
  bool_param?: boolean;
  int64_param?: Int64;
  string_param?: string;
  double_param?: number;
  uint64_param?: Int64;
}

export type InferParametersMessage = Record<string, InferParameterMessage>;

export interface InferContentsMessage {
  bool_contents: boolean[];
  int_contents: number[];
  int64_contents: Int64[];
  uint_contents: number[];
  uint64_contents: Int64[];
  fp32_contents: number[];
  fp64_contents: number[];
  bytes_contents: Uint8Array[];
}

export interface InferInputMessage {
  name: string;
  datatype: string;
  shape: Int64[];
  parameters?: InferParametersMessage;
  contents?: Partial<InferContentsMessage> | null;
}

export interface InferRequestedOutputMessage {
  name: string;
  parameters?: InferParametersMessage;
}

export interface InferRequestMessage {
  model_name: string;
  model_version: string;
  id: string;
  parameters: InferParametersMessage;
  inputs: InferInputMessage[];
  outputs: InferRequestedOutputMessage[];
  raw_input_contents: Uint8Array[];
  /** Set where the bytes were not a request; decodeInferRequest throws it, after the caller has been let in. */
  malformed?: SignetError;
}

export interface InferResponseMessage {
  model_name: string;
  model_version: string;
  id: string;
  parameters: InferParametersMessage;
  outputs: (TensorMetadataMessage & { parameters?: InferParametersMessage })[];
  raw_output_contents: Uint8Array[];
}

export interface StreamInferResponseMessage {
  error_message: string;
  infer_response: Partial<InferResponseMessage>;
}

export interface ModelTensorConfigMessage {
  name: string;
  data_type: string;
  dims: Int64[];
}

interface QueuePolicyMessage {
  timeout_action: "REJECT" | "DELAY";
  default_timeout_microseconds: Int64;
  allow_timeout_override: boolean;
  max_queue_size: number;
}

export interface ModelConfigMessage {
  name: string;
  platform: string;
  version_policy: { specific: { versions: Int64[] } } | { latest: { num_versions: number } };
  backend: string;
  max_batch_size: number;
  input: ModelTensorConfigMessage[];
  output: ModelTensorConfigMessage[];
  instance_group: { name: string; count: number; kind: "KIND_GPU" | "KIND_CPU"; gpus: number[] }[];
  parameters: Record<string, { string_value: string }>;
  model_transaction_policy: { decoupled: boolean };
  response_cache: { enable: boolean };
  dynamic_batching?: {
    preferred_batch_size: number[];
    max_queue_delay_microseconds: Int64;
    preserve_ordering: boolean;
    priority_levels: Int64;
    default_priority_level: Int64;
    default_queue_policy: QueuePolicyMessage;
    priority_queue_policy: Record<string, QueuePolicyMessage>;
  };
}

/** Every unary call of the service with its request and response. */
interface InferenceCalls extends ExtensionCalls {
  ServerLive: [Empty, { live: boolean }];
  ServerReady: [Empty, { ready: boolean }];
  ModelReady: [NamedModelMessage, { ready: boolean }];
  ServerMetadata: [Empty, ServerMetadataMessage];
  ModelMetadata: [NamedModelMessage, ModelMetadataMessage];
  ModelInfer: [InferRequestMessage, InferResponseMessage];
  ModelConfig: [NamedModelMessage, { config: ModelConfigMessage }];
}

export type InferenceHandlers = {
  [Call in keyof InferenceCalls]: handleUnaryCall<InferenceCalls[Call][0], InferenceCalls[Call][1]>;
} & { ModelStreamInfer: handleBidiStreamingCall<InferRequestMessage, StreamInferResponseMessage> };

export type InferenceService = ServiceDefinition & {
  [Call in keyof InferenceCalls]: MethodDefinition<InferenceCalls[Call][0], InferenceCalls[Call][1]>;
} & { ModelStreamInfer: MethodDefinition<InferRequestMessage, StreamInferResponseMessage> };

let loaded: InferenceService | undefined;

/** The service definition for a grpc-js server or client; the .proto file is read on the first call. */
export function inferenceService(): InferenceService {
  loaded ??= loadInferenceService();
  return loaded;
}

function loadInferenceService(): InferenceService {
  const file = fileURLToPath(new URL("../../proto/inference.proto", import.meta.url));
  const definition = loadSync(file, {
    keepCase: true,
    longs: String, // a shape or an INT64 element above 2^53 must not be rounded before it is checked
    enums: String,
    defaults: true,
    arrays: true,
    objects: true,
    oneofs: true,
  });
  const service = definition["inference.GRPCInferenceService"] as unknown as InferenceService;
  const { ModelInfer, ModelStreamInfer } = service;
  const decode = ModelInfer.requestDeserialize;
  // Never throws: grpc-js answers INTERNAL to what a deserializer throws, and it runs before access is checked.
  const requestDeserialize = (bytes: Buffer): InferRequestMessage => {
    try {
      const plain = decodePlainRequest(bytes);
      if (plain !== null) return plain;
      verifyInferRequestBytes(bytes);
      return decode(bytes);
    } catch (error) {
      return malformedRequest(error);
    }
  };
  const encode = ModelInfer.responseSerialize;
  const responseSerialize = (response: InferResponseMessage): Buffer => {
    const parts = encodePlainResponse(response);
    return parts === null ? encode(response) : Buffer.concat(parts);
  };
  return {
    ...service,
    ModelInfer: { ...ModelInfer, requestDeserialize, responseSerialize },
    ModelStreamInfer: { ...ModelStreamInfer, requestDeserialize },
  };
}

/** A response as bytes in pieces, of which the raw contents are not copied. */
export function encodeInferResponseParts(response: InferResponseMessage): readonly Buffer[] {
  return encodePlainResponse(response) ?? [inferenceService().ModelInfer.responseSerialize(response)];
}

/** The same for an answer of a stream. */
export function encodeStreamAnswerParts(answer: StreamInferResponseMessage): readonly Buffer[] {
  return encodePlainStreamAnswer(answer) ?? [inferenceService().ModelStreamInfer.responseSerialize(answer)];
}

function malformedRequest(thrown: unknown): InferRequestMessage {
  const malformed =
    thrown instanceof SignetError
      ? thrown
      : new SignetError("REQUEST_MALFORMED", "expected a ModelInferRequest, found other bytes", { cause: thrown });
  return {
    model_name: "",
    model_version: "",
    id: "",
    parameters: {},
    inputs: [],
    outputs: [],
    raw_input_contents: [],
    malformed,
  };
}
