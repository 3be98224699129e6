import type { IncomingMessage } from "node:http";
import { SignetError } from "../errors.ts";
import { certificateOf, fingerprintOf } from "../listener/index.ts";
import { type GateParts, type Identity, letIn, type Pass, type Refusal } from "../service/index.ts";
import { peerOf } from "./call.ts";

/** Headers that decide who calls or what a body is: two of them, and two readers could disagree. */
const SINGLE_HEADERS = [
  "authorization",
  "content-encoding",
  "content-length",
  "content-type",
  "inference-header-content-length",
];

/**
 * Stands before every route: authenticates the caller and counts the call when its headers have come, before a byte of
 * its body is read. So strangers, and callers beyond their limits, cannot make the server hold what they send.
 */
export function passGate(parts: GateParts, request: IncomingMessage): Pass | Refusal {
  const authenticate = (): Identity => {
    verifySingleHeaders(request);
    const { socket } = request;
    return parts.access.authenticate(request.headers.authorization, () =>
      fingerprintOf(socket, () => certificateOf(socket)),
    );
  };
  return letIn(parts, authenticate, () => peerOf(request));
}

/** @throws REQUEST_MALFORMED */
export function verifySingleHeaders({ headersDistinct }: IncomingMessage): void {
  const twice = SINGLE_HEADERS.find((name) => (headersDistinct[name]?.length ?? 0) > 1);
  if (twice !== undefined) throw new SignetError("REQUEST_MALFORMED", `${twice}: expected it once, found it again`);
}
