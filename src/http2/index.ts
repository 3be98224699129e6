export type { Connection } from "./connection.ts";
export type { ConnectionError } from "./connection-error.ts";
export type { CancelReason, DirectCall, DirectReceiver, DirectRoute } from "./direct-call.ts";
export { type ConnectionLimits, defaultLimits } from "./limits.ts";
export type { RequestHead } from "./request-head.ts";
export { Http2Server, type Http2ServerOptions } from "./server.ts";
