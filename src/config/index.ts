export { type DataDirectory, dataDirectory } from "./data-directory.ts";
export { describeIssue } from "./describe-issue.ts";
export { type GrpcLimits, resolveGrpcLimits } from "./grpc-settings.ts";
export type { JobSettings, S3Settings } from "./jobs.ts";
export { isUnsafeVariable, readLaunch, verifyLaunch } from "./launch.ts";
export { parseListen, type ResolvedListen, resolveHttpListen, resolveListen, resolveMetricsListen } from "./listen.ts";
export { type ConfigSource, loadConfig, parseConfig } from "./load.ts";
export type { LogKeeping } from "./logs.ts";
export { type DeclaredNeeds, needsObstacle, needsSchema } from "./needs.ts";
export { parseYaml } from "./parse-yaml.ts";
export {
  configSchema,
  logFormats,
  logLevels,
  type ServerConfig,
  type ServiceSettings,
  serviceSettings,
  unlicensedSettings,
} from "./schema.ts";
export type { ConfiguredWarmUp } from "./warm-up.ts";
