export { type ConnectionLimits, defaultLimits } from "./limits.ts";
export { Http2Server, type Http2ServerOptions } from "./server.ts";
