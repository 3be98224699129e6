export { MetricsServer } from "./metrics-server.ts";
export { HttpServer } from "./server.ts";
