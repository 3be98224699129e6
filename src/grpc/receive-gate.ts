import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import type { Access } from "../service/index.ts";
import { grpcStatusFromError } from "./errors.ts";

/** Every request but ModelInfer's is a name or two. A thousand streams of one connection may each bring one. */
const MAX_SMALL_MESSAGE_BYTES = 128 * 1024;

const INFER = "/inference.GRPCInferenceService/ModelInfer";

/** What a load balancer without a token may ask. */
function isOpen(path: string): boolean {
  return /^\/grpc\.health\.v1\.Health\/|^\/inference\.GRPCInferenceService\/Server(Live|Ready)$/.test(path);
}

/**
 * Looks at the token when a call's headers have come, and reads the message only of those who have one. grpc-js reads
 * it first: a thousand streams of one connection could each leave a message of the largest size in memory, or a few
 * kilobytes of gzip that become one, and nobody would have asked for a token yet. The handlers ask again, because
 * who may do what is their matter; this is about memory.
 */
export function createReceiveGate(access: Access): ServerInterceptor {
  return ({ path }, call) => {
    if (path !== INFER) limitMessage(call, MAX_SMALL_MESSAGE_BYTES);
    if (isOpen(path)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, read) {
            try {
              access.authenticate(metadata.get("authorization")[0]?.toString());
            } catch (error) {
              call.sendStatus(grpcStatusFromError(error));
              return;
            }
            read(metadata);
          },
        }),
    });
  };
}

/**
 * A smaller limit than the server's for one call. grpc-js has no option for that; these are its own fields, and the
 * tests of the wire fail if they get other names.
 */
function limitMessage(call: ServerInterceptingCallInterface, bytes: number): void {
  const own = call as unknown as { maxReceiveMessageSize: number; decoder: { maxReadMessageLength: number } };
  own.maxReceiveMessageSize = Math.min(own.maxReceiveMessageSize, bytes);
  own.decoder.maxReadMessageLength = Math.min(own.decoder.maxReadMessageLength, bytes);
}
