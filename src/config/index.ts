export { type DataDirectory, dataDirectory } from "./data-directory.ts";
export { describeIssue } from "./describe-issue.ts";
export { isUnsafeVariable, readLaunch, verifyLaunch } from "./launch.ts";
export { parseListen, type ResolvedListen, resolveHttpListen, resolveListen } from "./listen.ts";
export { type ConfigSource, loadConfig, parseConfig } from "./load.ts";
export { parseYaml } from "./parse-yaml.ts";
export {
  configSchema,
  logFormats,
  logLevels,
  type ServerConfig,
  serviceSettings,
  unlicensedSettings,
} from "./schema.ts";
