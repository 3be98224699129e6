import { closeSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileError, SignetError } from "../errors.ts";
import { describeIssue } from "./describe-issue.ts";
import { parseYaml, type YamlContent } from "./parse-yaml.ts";
import { type ConfigInput, configSchema, type ServerConfig } from "./schema.ts";
import { resolveWarmUpFiles } from "./warm-up.ts";

const MAX_CONFIG_BYTES = 1024 * 1024;

export interface ConfigSource {
  /** The YAML file. */
  readonly file: string;
  /** True when someone named the file: it must exist. False for the default place, where it may be missing. */
  readonly required: boolean;
  /** Values from the command line; they win over the file. */
  readonly overrides?: Pick<ConfigInput, "listen" | "insecure" | "log">;
}

/** @throws CONFIG_INVALID, FILE_UNREADABLE */
export function loadConfig(source: ConfigSource): ServerConfig {
  const text = readConfigFile(source);
  if (text === undefined) return parseConfig({}, source.file, source.overrides);
  const { value, placeOf } = parseYaml(text, source.file, "CONFIG_INVALID");
  return parseConfig(value, source.file, source.overrides, placeOf);
}

/**
 * @param where names the source in error messages; relative paths inside are relative to its directory
 * @param placeOf names it more exactly, for the value at a path
 */
export function parseConfig(
  written: unknown,
  where: string,
  overrides: ConfigSource["overrides"] = {},
  placeOf: YamlContent["placeOf"] = () => where,
): ServerConfig {
  const merged = withOverrides(written ?? {}, overrides);
  const parsed = configSchema.safeParse(merged);
  if (!parsed.success) {
    const { key, path, words } = describeIssue(parsed.error, merged);
    throw new SignetError("CONFIG_INVALID", `${placeOf(path)}: ${key === "" ? "" : `${key}: `}${words}`);
  }
  const base = dirname(resolve(where));
  const { tls, ...others } = parsed.data;
  const rest = { ...others, ...resolvePlaces(others, base) };
  if (tls === undefined) return deepFreeze(rest);
  const clientCa = tls.clientCa === null ? null : resolve(base, tls.clientCa);
  return deepFreeze({ ...rest, tls: { ...tls, cert: resolve(base, tls.cert), key: resolve(base, tls.key), clientCa } });
}

/** Files and directories of the server, as seen from the configuration's directory. */
function resolvePlaces({ traceDir, defaults, services }: Omit<ServerConfig, "tls">, base: string) {
  const ofServices = Object.entries(services).map(([name, own]) => {
    const { warmup } = own;
    return [name, warmup === undefined ? own : { ...own, warmup: resolveWarmUpFiles(warmup, base) }] as const;
  });
  return {
    traceDir: traceDir === null ? null : resolve(base, traceDir),
    defaults: { ...defaults, warmup: resolveWarmUpFiles(defaults.warmup, base) },
    services: Object.fromEntries(ofServices),
  };
}

function readConfigFile({ file, required }: ConfigSource): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readStart(file, MAX_CONFIG_BYTES + 1);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT" && !required) return undefined;
    throw fileError(file, cause);
  }
  if (bytes.length > MAX_CONFIG_BYTES) {
    throw new SignetError("CONFIG_INVALID", `${file}: expected at most 1 MiB, found more`);
  }
  return bytes.toString("utf8");
}

/** No more than that is read: the file may be a device that never ends. */
function readStart(file: string, maxBytes: number): Buffer {
  const fd = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(maxBytes);
    let length = 0;
    while (length < maxBytes) {
      const read = readSync(fd, bytes, length, maxBytes - length, null);
      if (read === 0) break;
      length += read;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

function withOverrides(written: unknown, overrides: NonNullable<ConfigSource["overrides"]>): unknown {
  if (typeof written !== "object" || written === null || Array.isArray(written)) return written;
  const merged: Record<string, unknown> = { ...written };
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    const below = merged[key];
    merged[key] = isPlainObject(value) && isPlainObject(below) ? { ...below, ...value } : value;
  }
  return merged;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
