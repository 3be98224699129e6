import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { SignetError } from "../errors.ts";
import { fingerprintOf } from "../listener/index.ts";
import { type GateParts, type Identity, letIn, type Pass, type Refusal } from "../service/index.ts";
import { grpcStatusFromError, PUSHBACK_KEY } from "./errors.ts";

export interface CallGateOptions extends GateParts {
  /** Whether a method may be called by anybody. */
  isOpen(path: string): boolean;
}

/** What an open method may be sent: the name of a service, and room for more. */
const MAX_OPEN_MESSAGE_BYTES = 1024;
/** Every request but those of inference is a name or two. A thousand streams of one connection may each bring one. */
const MAX_SMALL_MESSAGE_BYTES = 128 * 1024;
const STREAM = "/inference.GRPCInferenceService/ModelStreamInfer";
const WATCH = "/signet.v1.JobService/WatchJob";
const RESULT = "/signet.v1.JobService/GetResult";
const UPLOAD = "/signet.v1.JobService/UploadArtifact";
const LARGE: ReadonlySet<string> = new Set([
  ...["/inference.GRPCInferenceService/ModelInfer", STREAM],
  ...["/signet.v1.JobService/DoJobs", UPLOAD],
]);
/** Calls that go on for so long that their caller is looked at again. */
const LONG: ReadonlySet<string> = new Set([...[STREAM, WATCH, RESULT, UPLOAD], "/signet.v1.AdminService/TailLogs"]);

/** What the gate found out, for the handler of the same call. */
const identities = new WeakMap<Metadata, Identity>();
/** How to authenticate the caller of a stream once more. */
const renewals = new WeakMap<Metadata, () => Identity>();

/** The caller of a method that is not open. */
export function identityOf({ metadata }: { readonly metadata: Metadata }): Identity {
  const identity = identities.get(metadata);
  if (!identity) throw new SignetError("INTERNAL", "a call that is not open came past the gate");
  return identity;
}

/** The same, where somebody is known. */
export function identityNameOf({ metadata }: { readonly metadata: Metadata }): string | null {
  return identities.get(metadata)?.name ?? null;
}

/**
 * The caller of a stream as of now, since a token may be removed while the stream goes on.
 * @throws UNAUTHENTICATED
 */
export function authenticateAgain({ metadata }: { readonly metadata: Metadata }): Identity {
  const authenticate = renewals.get(metadata);
  if (!authenticate) throw new SignetError("INTERNAL", "a call that is no stream was to be authenticated again");
  return authenticate();
}

/** The client's address, without its port. */
export function peerOf(call: { getPeer(): string }): string {
  const peer = call.getPeer();
  const port = peer.lastIndexOf(":");
  return port < 0 ? peer : peer.slice(0, port);
}

/**
 * Stands before every method: authenticates the caller and counts the call when its headers have come, before a byte
 * of its message is read. So strangers, and callers beyond their limits, cannot make the server hold their messages.
 */
export function createCallGate(options: CallGateOptions): ServerInterceptor {
  const { access, isOpen } = options;
  return ({ path }, call) => {
    if (isOpen(path)) {
      limitMessage(call, MAX_OPEN_MESSAGE_BYTES);
      return new ServerInterceptingCall(call);
    }
    if (!LARGE.has(path)) limitMessage(call, MAX_SMALL_MESSAGE_BYTES);
    let admission: Pass | Refusal | undefined;
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            const certificate = () => fingerprintOf(connectionOf(call), () => certificateOf(call));
            const authenticate = () => access.authenticate(tokenOf(metadata), certificate);
            admission = letIn(options, authenticate, () => peerOf(call));
            if (!admission.isAdmitted) {
              const { error, retryAfterMs } = admission;
              const status = grpcStatusFromError(error);
              if (retryAfterMs !== null) status.metadata.set(PUSHBACK_KEY, `${retryAfterMs}`);
              call.sendStatus(status);
              return;
            }
            identities.set(metadata, admission.identity);
            if (LONG.has(path)) renewals.set(metadata, authenticate);
            pass(metadata);
          },
          // Comes once for every call, however it ends.
          onCancel: () => {
            if (admission?.isAdmitted) admission.release();
          },
        }),
    });
  };
}

function tokenOf(metadata: Metadata): string | undefined {
  return metadata.get("authorization")[0]?.toString();
}

function connectionOf(call: ServerInterceptingCallInterface): object | undefined {
  return (call as unknown as { stream?: { session?: object } }).stream?.session;
}

function certificateOf(call: ServerInterceptingCallInterface): string | undefined {
  return call.getAuthContext().sslPeerCertificate?.fingerprint256;
}

/**
 * grpc-js has one limit for all methods of a server. Its call keeps the limit in the decoder; a test tells when that
 * is so no longer.
 */
function limitMessage(call: ServerInterceptingCallInterface, maxBytes: number): void {
  const inside = call as unknown as { decoder?: { maxReadMessageLength: number }; maxReceiveMessageSize?: number };
  if (inside.decoder) inside.decoder.maxReadMessageLength = maxBytes;
  inside.maxReceiveMessageSize = maxBytes; // after decompression
}
