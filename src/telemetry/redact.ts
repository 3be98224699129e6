import { KeyObject } from "node:crypto";
import { SignetError } from "../errors.ts";
import { Secret } from "./secret.ts";

const MAX_DEPTH = 6;
const MAX_ENTRIES = 100;

/** Keys whose value is a secret wherever it appears, whatever its type. Compared without case, dashes, underscores. */
const secretKeys = new Set([
  "authorization",
  "contentkey",
  "cookie",
  "passphrase",
  "password",
  "privatekey",
  "secret",
  "token",
]);

/**
 * A copy of what is about to be logged, in which secrets are hidden by type (Secret, keys), by well-known
 * names, and bytes by their number: tensors are customers' data. Bounded in depth and breadth, so that
 * logging a huge object is never the slow part.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Secret || value instanceof KeyObject) return "[secret]";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return value;
  if (depth >= MAX_DEPTH) return "[deeper]";
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Map) return redact(Object.fromEntries(value), depth);
  if (value instanceof Set) return redact([...value], depth);
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry) => redact(entry, depth + 1));
  const copy: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value).slice(0, MAX_ENTRIES)) {
    copy[key] = isSecretKey(key) && inner !== undefined ? "[secret]" : redact(inner, depth + 1);
  }
  return copy;
}

function isSecretKey(key: string): boolean {
  return secretKeys.has(key.replace(/[-_]/g, "").toLowerCase());
}

/** An error with its cause: what an operator needs and a client never sees. */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const shown: Record<string, unknown> = {
    type: error.name,
    ...("code" in error ? { code: String(error.code) } : {}),
    message: error.message,
  };
  // A foreseen error's stack says nothing; an unforeseen one's is the only clue.
  if (!(error instanceof SignetError) || error.code === "INTERNAL") shown.stack = error.stack;
  if (error.cause !== undefined) shown.cause = redact(error.cause, depth + 1);
  return shown;
}
