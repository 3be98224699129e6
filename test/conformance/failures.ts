import type { Failure } from "./case.ts";

function failure(grpc: string, http: number, code: string | null): Failure {
  return { grpc, http, code };
}

export const malformed = failure("INVALID_ARGUMENT", 400, "REQUEST_MALFORMED");
export const notFound = failure("NOT_FOUND", 404, "SERVICE_NOT_FOUND");
export const tooLarge = failure("RESOURCE_EXHAUSTED", 413, "REQUEST_TOO_LARGE");
export const notOffered = failure("UNIMPLEMENTED", 501, "NOT_IMPLEMENTED");
export const unauthenticated = failure("UNAUTHENTICATED", 401, "UNAUTHENTICATED");
export const denied = failure("PERMISSION_DENIED", 403, "PERMISSION_DENIED");
export const notLicensed = failure("FAILED_PRECONDITION", 400, "NOT_IN_LICENSE");
export const unloaded = failure("UNAVAILABLE", 503, "SERVICE_UNLOADED");
export const runsExhausted = failure("RESOURCE_EXHAUSTED", 403, "LICENSE_RUNS_EXHAUSTED");
export const late = failure("DEADLINE_EXCEEDED", 504, null);
export const pluginFailed = failure("INTERNAL", 500, "PLUGIN_FAILED");
export const regionUnknown = failure("NOT_FOUND", 404, "SHARED_MEMORY_NOT_FOUND");
export const regionExists = failure("ALREADY_EXISTS", 409, "SHARED_MEMORY_EXISTS");
export const regionInvalid = failure("INVALID_ARGUMENT", 400, "SHARED_MEMORY_INVALID");
export const tracingOff = failure("FAILED_PRECONDITION", 400, "TRACING_OFF");
