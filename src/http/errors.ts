import { type ErrorCode, type GrpcStatus, SignetError } from "../errors.ts";

/** Response header with Signet's own code, which says more than HTTP's statuses; the body has it too. */
export const CODE_HEADER = "signet-code";

/** A plugin's words may be long. */
const MAX_MESSAGE = 1000;

/** The HTTP status of every failure, from its gRPC status, as Google's API design guide pairs them. */
const statusByGrpc: Readonly<Record<GrpcStatus, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

/** Where HTTP is more exact than gRPC, or would have a client try again for nothing. */
const statusByCode: Partial<Readonly<Record<ErrorCode, number>>> = {
  REQUEST_TOO_LARGE: 413,
  OUTPUT_TOO_LARGE: 500,
  SERVICE_OUT_OF_MEMORY: 500,
  LICENSE_RUNS_EXHAUSTED: 403,
  LICENSE_RUN_TIME_EXHAUSTED: 403,
};

export function httpStatusOf({ code, status }: Pick<SignetError, "code" | "status">): number {
  return statusByCode[code] ?? statusByGrpc[status];
}

export interface HttpFailure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Triton's key, and Signet's code beside it. */
  readonly body: { readonly error: string; readonly code: ErrorCode };
}

/** What a client gets for anything that was thrown: message and next step, never the cause. */
export function failureFromError(thrown: unknown, retryAfterMs: number | null = null): HttpFailure {
  const error = SignetError.from(thrown);
  const { code, next } = error;
  const message = error.message.length > MAX_MESSAGE ? `${error.message.slice(0, MAX_MESSAGE)}…` : error.message;
  return {
    status: httpStatusOf(error),
    headers: {
      [CODE_HEADER]: code,
      ...(code === "UNAUTHENTICATED" ? { "www-authenticate": "Bearer" } : {}),
      ...(retryAfterMs === null ? {} : { "retry-after": `${Math.ceil(retryAfterMs / 1000)}` }),
    },
    body: { error: `${message}. ${next}`.toWellFormed(), code },
  };
}
