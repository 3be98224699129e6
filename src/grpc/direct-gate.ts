import type { SignetError } from "../errors.ts";
import type { DirectCall } from "../http2/index.ts";
import { certificateOf, fingerprintOf } from "../listener/index.ts";
import { type GateParts, type Identity, letIn } from "../service/index.ts";
import { CODE_KEY, PUSHBACK_KEY, statusDetails, statusOf } from "./errors.ts";

/** The caller of a direct call that may begin. */
export interface DirectCaller {
  readonly identity: Identity;
  readonly peer: string;
  /** The caller as of now, since a token may be removed while a call goes on. @throws UNAUTHENTICATED */
  authenticate(): Identity;
  /** Counts the call no longer. */
  release(): void;
}

/** What call-gate.ts is for calls of grpc-js: finds out who calls, or ends the call and gives back null. */
export function admitDirect(parts: GateParts, call: DirectCall): DirectCaller | null {
  const { socket } = call.session;
  const peer = socket.remoteAddress ?? "unknown";
  const token = call.head.get("authorization");
  const certificate = () => fingerprintOf(call.session, () => certificateOf(socket));
  const authenticate = () => parts.access.authenticate(token, certificate);
  const admission = letIn(parts, authenticate, () => peer);
  if (admission.isAdmitted) {
    const { identity, release } = admission;
    return { identity, peer, authenticate, release };
  }
  failDirect(call, admission.error, admission.retryAfterMs);
  return null;
}

/** Ends a call with an error, in the words that clients get over grpc-js. */
export function failDirect(call: DirectCall, error: SignetError, retryAfterMs: number | null = null): void {
  const trailers = [CODE_KEY, error.code];
  if (retryAfterMs !== null) trailers.push(PUSHBACK_KEY, `${retryAfterMs}`);
  call.end(statusOf(error), statusDetails(error), trailers);
}
