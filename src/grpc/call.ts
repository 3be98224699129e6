import { type Deadline, type handleUnaryCall, Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import type { LicenseTime } from "../license/index.ts";
import { identityNameOf, peerOf } from "./call-gate.ts";
import { grpcStatusFromError } from "./errors.ts";

/** What goes out after the response. */
export interface Trailers {
  metadata: Metadata | undefined;
}

export const clientGone = new SignetError("CANCELLED", "the client cancelled the call");

/** Makes a handler from a function that returns the response or throws. */
export function answering(audit: AuditLog) {
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

/** Tells whoever calls that the license is near its end, before calls are refused. */
export function licenseTrailers(time: LicenseTime): Metadata {
  const metadata = new Metadata();
  const fields = licenseFields(time);
  for (let field = 0; field < fields.length; field += 2) metadata.set(fields[field]!, fields[field + 1]!);
  return metadata;
}

/** The same as names and values by turns. */
export function licenseFields({ phase, daysLeft }: LicenseTime): string[] {
  const state = phase === "valid" ? "expiring" : phase;
  return ["signet-license-state", state, "signet-license-days-left", `${daysLeft}`];
}

/** grpc-js gives wall-clock milliseconds; a deadline inside the server must not move with the wall clock. */
export function deadlineOf(call: { getDeadline(): Deadline }): number {
  const deadline = Number(call.getDeadline());
  return Number.isFinite(deadline) ? performance.now() + (deadline - Date.now()) : Number.POSITIVE_INFINITY;
}
