import { closeSync, openSync, readSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { fileError, SignetError } from "../errors.ts";
import { type ConfigInput, configSchema, type ServerConfig } from "./schema.ts";

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
  const written = text === undefined ? {} : parseYaml(text, source.file);
  return parseConfig(written, source.file, source.overrides);
}

/** @param where names the source in error messages; relative paths inside are relative to its directory. */
export function parseConfig(written: unknown, where: string, overrides: ConfigSource["overrides"] = {}): ServerConfig {
  const parsed = configSchema.safeParse(withOverrides(written ?? {}, overrides));
  if (!parsed.success) throw new SignetError("CONFIG_INVALID", `${where}: ${describeIssue(parsed.error)}`);
  const { tls, ...rest } = parsed.data;
  const base = dirname(resolve(where));
  if (tls === undefined) return deepFreeze(rest);
  const clientCa = tls.clientCa === null ? null : resolve(base, tls.clientCa);
  return deepFreeze({ ...rest, tls: { ...tls, cert: resolve(base, tls.cert), key: resolve(base, tls.key), clientCa } });
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

function parseYaml(text: string, file: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, strict: true, uniqueKeys: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line;
    const reason = problem.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    throw new SignetError("CONFIG_INVALID", `${file}${line === undefined ? "" : `:${line}`}: ${lowerFirst(reason)}`);
  }
  try {
    return document.toJS({ maxAliasCount: 0 }); // aliases are how a small YAML file becomes a huge object
  } catch (cause) {
    throw new SignetError("CONFIG_INVALID", `${file}: expected plain YAML without aliases`, { cause });
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

/** The first issue in words: key path, what was expected, what was found. */
function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0]!;
  const path = issue.path.map(String).join(".");
  const message = lowerFirst(issue.message.replace(/^Invalid input: /, ""));
  return path === "" ? message : `${path}: ${message}`;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
