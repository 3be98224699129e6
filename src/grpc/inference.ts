import { type handleBidiStreamingCall, Metadata, type ServerDuplexStream, type ServerUnaryCall } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import {
  type CallQuotas,
  modelConfig,
  modelMetadata,
  modelStatistics,
  type ServedParts,
  type Service,
  serverMetadata,
} from "../service/index.ts";
import { answering, clientGone, deadlineOf, licenseTrailers } from "./call.ts";
import { authenticateAgain, identityOf, peerOf } from "./call-gate.ts";
import { grpcStatusFromError } from "./errors.ts";
import { infer } from "./infer.ts";
import { InferStream } from "./infer-stream.ts";
import type {
  InferenceHandlers,
  InferRequestMessage,
  NamedModelMessage,
  StreamInferResponseMessage,
} from "./messages.ts";
import { repositoryHandlers } from "./repository.ts";
import { settingsHandlers } from "./settings.ts";
import { sharedMemoryHandlers } from "./shared-memory.ts";
import { decodeInferRequest } from "./tensors.ts";

export interface InferenceEdge extends ServedParts {
  readonly quotas: CallQuotas;
  readonly audit: AuditLog;
}

/** The calls of inference.GRPCInferenceService: decode, ask the service, encode. */
export function inferenceHandlers(edge: InferenceEdge): InferenceHandlers {
  const { inference, repository, sharedMemory, audit, version, isReady } = edge;
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
    ModelReady: answer(async (call) => ({ ready: find(call).runner.isServing })),
    ServerMetadata: answer(async (call) => {
      identityOf(call).require("metadata");
      return serverMetadata(version, sharedMemory);
    }),
    ModelMetadata: answer(async (call) => modelMetadata(find(call))),
    ModelConfig: answer(async (call) => ({ config: modelConfig(find(call)) })),
    ModelInfer: answer(async (call, trailers) => {
      const identity = identityOf(call);
      const request = decodeInferRequest(call.request);
      const controller = new AbortController();
      // grpc-js says "cancelled" after a finished call too; a reason of our own spares it a DOMException each time.
      call.on("cancelled", () => controller.abort(clientGone));
      // The client may have gone while the message was decoded.
      if (call.cancelled) controller.abort(clientGone);
      const { response, nearEnd } = await infer(inference, request, {
        identity,
        peer: peerOf(call),
        deadlineMs: deadlineOf(call),
        signal: controller.signal,
      });
      if (nearEnd !== null) trailers.metadata = licenseTrailers(nearEnd);
      return response;
    }),
    ModelStreamInfer: streamHandler(edge),
    ModelStatistics: answer(async (call) => {
      identityOf(call).require("metadata");
      const { name, version: wanted } = call.request;
      const services = name === "" ? inference.services : [inference.find(name, wanted)];
      return { model_stats: services.map((service) => modelStatistics(service, inference.statisticsOf(service))) };
    }),
    ...repositoryHandlers(repository, answer),
    ...sharedMemoryHandlers(sharedMemory, answer),
    ...settingsHandlers(edge, answer),
  };
}

/** The calls that nobody needs a token for. */
export const openInferenceCalls: readonly (keyof InferenceHandlers)[] = ["ServerLive", "ServerReady"];

function streamHandler(edge: InferenceEdge): handleBidiStreamingCall<InferRequestMessage, StreamInferResponseMessage> {
  return (call) => {
    readNoFurther(call);
    call.sendMetadata(new Metadata()); // at once, for clients that wait to see that the stream is open
    const caller = {
      peer: peerOf(call),
      deadlineMs: deadlineOf(call),
      endsAtError: call.metadata.get("triton_grpc_error")[0] === "true",
      authenticate: () => authenticateAgain(call),
    };
    let isClogged = false;
    const stream = new InferStream(edge, caller, {
      takesLent: false,
      get isClogged() {
        return isClogged;
      },
      write: (response) => {
        isClogged = !call.write(response);
      },
      pause: () => call.pause(),
      resume: () => call.resume(),
      end: (nearEnd) => call.end(nearEnd === null ? undefined : licenseTrailers(nearEnd)),
      fail: (error) => call.emit("error", grpcStatusFromError(error)),
    });
    call.on("data", (message) => stream.take(message));
    call.on("end", () => stream.halfClosed());
    call.on("drain", () => {
      isClogged = false;
      stream.drained();
    });
    call.on("cancelled", () => stream.cancel());
  };
}

/**
 * A paused stream of Node's reads ahead, 16 messages where they are objects, and one may be as large as the server
 * takes. Its limit has no door of its own; a test tells when it is no longer kept here.
 */
function readNoFurther(call: ServerDuplexStream<unknown, unknown>): void {
  const inside = call as unknown as { _readableState?: { highWaterMark: number } };
  if (inside._readableState) inside._readableState.highWaterMark = 1;
}
