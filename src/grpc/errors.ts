import { Metadata, type ServiceError, type StatusObject, status as statusCodes } from "@grpc/grpc-js";
import { type ErrorCode, errorCatalogue, SignetError } from "../errors.ts";

/** Trailing metadata with Signet's own code, which says more than gRPC's sixteen. */
export const CODE_KEY = "signet-code";
/** The standard trailer by which a server tells when to try again, ms. */
export const PUSHBACK_KEY = "grpc-retry-pushback-ms";

/** Trailers have a size limit of their own, and a plugin's words may be long. */
const MAX_MESSAGE = 1000;

/** The status a client gets for anything that was thrown: message and next step, never the cause. */
export function grpcStatusFromError(thrown: unknown): StatusObject {
  const error = SignetError.from(thrown);
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  return { code: statusOf(error), details: statusDetails(error), metadata };
}

/** gRPC's number for it. */
export function statusOf(error: SignetError): number {
  return statusCodes[error.status];
}

/** What a client is told in words. */
export function statusDetails({ message, next }: SignetError): string {
  const words = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
  // Well-formed, because the details are percent-encoded and half a surrogate pair cannot be.
  return `${words}. ${next}`.toWellFormed();
}

/** What a client makes of a failed call: the server's own error again, or the nearest to what gRPC says. */
export function errorFromGrpcStatus(failure: ServiceError): SignetError {
  const sent = failure.metadata?.get(CODE_KEY)[0];
  if (typeof sent === "string" && Object.hasOwn(errorCatalogue, sent)) {
    const code = sent as ErrorCode;
    return new SignetError(code, withoutEnd(failure.details, `. ${errorCatalogue[code].next}`), { cause: failure });
  }
  return new SignetError(codeByStatus.get(failure.code) ?? "INTERNAL", withoutEnd(failure.details, "."), {
    cause: failure,
  });
}

/** For statuses that gRPC itself made, on the way or at a server that is not Signet. */
const codeByStatus = new Map<number, ErrorCode>([
  [statusCodes.CANCELLED, "CANCELLED"],
  [statusCodes.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"],
  [statusCodes.INVALID_ARGUMENT, "REQUEST_MALFORMED"],
  [statusCodes.NOT_FOUND, "SERVICE_NOT_FOUND"],
  [statusCodes.PERMISSION_DENIED, "PERMISSION_DENIED"],
  [statusCodes.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"],
  [statusCodes.UNAUTHENTICATED, "UNAUTHENTICATED"],
  [statusCodes.UNAVAILABLE, "UNREACHABLE"],
  [statusCodes.UNIMPLEMENTED, "NOT_IMPLEMENTED"],
]);

function withoutEnd(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, -end.length) : text;
}
