import { type handleUnaryCall, Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import type { LicenseTime } from "../license/index.ts";
import type { Inference, Service } from "../service/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import { identityNameOf, identityOf, peerOf } from "./call-gate.ts";
import { grpcStatusFromError } from "./errors.ts";
import type { InferenceHandlers, ModelConfigMessage, NamedModelMessage } from "./messages.ts";
import { decodeInferRequest, encodeInferResponse } from "./tensors.ts";

export interface InferenceEdge {
  readonly inference: Inference;
  readonly audit: AuditLog;
  readonly version: string;
  /** Whether the server takes calls and every service is ready. */
  isReady(): boolean;
}

const clientGone = new SignetError("CANCELLED", "the client cancelled the call");

/** The calls of inference.GRPCInferenceService: decode, ask the service, encode. */
export function inferenceHandlers({ inference, audit, version, isReady }: InferenceEdge): InferenceHandlers {
  const answer = answering(audit);
  /** Finds a service for a caller who may see it. */
  const find = (call: ServerUnaryCall<NamedModelMessage, unknown>): Service => {
    identityOf(call).require("metadata");
    return inference.find(call.request.name, call.request.version);
  };
  return {
    // Open to all: a load balancer has no token, and the answer says nothing else.
    ServerLive: answer(async () => ({ live: true })),
    ServerReady: answer(async () => ({ ready: isReady() })),
    ModelReady: answer(async (call) => ({ ready: find(call).runner.state === "ready" })),
    ServerMetadata: answer(async (call) => {
      identityOf(call).require("metadata");
      return { name: "signet", version, extensions: ["model_configuration", "binary_tensor_data", "parameters"] };
    }),
    ModelMetadata: answer(async (call) => {
      const { conf, runner } = find(call);
      return {
        name: conf.name,
        versions: [conf.version],
        platform: platformOf(runner),
        inputs: conf.inputs.map(tensorMetadata),
        outputs: conf.outputs.map(tensorMetadata),
      };
    }),
    ModelConfig: answer(async (call) => ({ config: modelConfig(find(call)) })),
    ModelInfer: answer(async (call, trailers) => {
      const identity = identityOf(call);
      const request = decodeInferRequest(call.request);
      const controller = new AbortController();
      // grpc-js says "cancelled" after a finished call too; a reason of our own spares it a DOMException each time.
      call.on("cancelled", () => controller.abort(clientGone));
      // The client may have gone while the message was decoded.
      if (call.cancelled) controller.abort(clientGone);
      const result = await inference.infer(identity, {
        ...request,
        peer: peerOf(call),
        deadlineMs: deadlineOf(call),
        signal: controller.signal,
      });
      if (result.nearEnd !== null) trailers.metadata = licenseTrailers(result.nearEnd);
      return encodeInferResponse(request, result.version, result.outputs);
    }),
  };
}

/** The calls that nobody needs a token for. */
export const openInferenceCalls: readonly (keyof InferenceHandlers)[] = ["ServerLive", "ServerReady"];

/** What goes out after the response. */
interface Trailers {
  metadata: Metadata | undefined;
}

/** Tells whoever calls that the license is near its end, before calls are refused. */
function licenseTrailers({ phase, daysLeft }: LicenseTime): Metadata {
  const metadata = new Metadata();
  metadata.set("signet-license-state", phase === "valid" ? "expiring" : phase);
  metadata.set("signet-license-days-left", `${daysLeft}`);
  return metadata;
}

/** Makes a handler from a function that returns the response or throws. */
function answering(audit: AuditLog) {
  return <Request, Response>(
    respond: (call: ServerUnaryCall<Request, Response>, trailers: Trailers) => Promise<Response>,
  ): handleUnaryCall<Request, Response> =>
    (call, callback) => {
      const trailers: Trailers = { metadata: undefined };
      respond(call, trailers).then(
        (response) => callback(null, response, trailers.metadata),
        (thrown) => {
          const { code } = SignetError.from(thrown);
          if (code === "PERMISSION_DENIED") {
            audit.refused({ code, identity: identityNameOf(call), peer: peerOf(call) });
          }
          callback(grpcStatusFromError(thrown));
        },
      );
    };
}

/** grpc-js gives wall-clock milliseconds; a deadline inside the server must not move with the wall clock. */
function deadlineOf(call: ServerUnaryCall<unknown, unknown>): number {
  const deadline = Number(call.getDeadline());
  return Number.isFinite(deadline) ? performance.now() + (deadline - Date.now()) : Number.POSITIVE_INFINITY;
}

function platformOf({ facts }: Service["runner"]): string {
  return facts ? `signet_${facts.plugin.name}` : "signet";
}

function tensorMetadata({ name, datatype, shape }: TensorSpec) {
  return { name, datatype, shape: [...shape] };
}

function modelConfig({ conf, runner }: Service): ModelConfigMessage {
  const tensorConfig = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`,
    dims: [...shape],
  });
  return {
    name: conf.name,
    platform: platformOf(runner),
    backend: runner.facts?.plugin.name ?? "",
    // No batching by the server: a shape is what one call carries, batch dimension included.
    max_batch_size: 0,
    input: conf.inputs.map(tensorConfig),
    output: conf.outputs.map(tensorConfig),
    instance_group: [{ name: conf.name, count: conf.limits.concurrency, kind: "KIND_CPU", gpus: [] }],
    parameters: Object.fromEntries(Object.entries(conf.parameters).map(([key, text]) => [key, { string_value: text }])),
    model_transaction_policy: { decoupled: false },
    response_cache: { enable: false },
  };
}
