import { z } from "zod";
import { type ErrorCode, SignetError } from "../errors.ts";
import { parseStrictJson, StrictJsonError } from "./strict-json.ts";

/**
 * Bytes → a value of the schema. `what` names the document in the message; `code` is thrown for JSON that is
 * not strict and for a field that is unknown, missing or wrong.
 */
export function parseDocument<S extends z.ZodType>(
  schema: S,
  bytes: Uint8Array,
  { what, code, notJson = code }: { what: string; code: ErrorCode; notJson?: ErrorCode },
): z.infer<S> {
  let json: unknown;
  try {
    json = parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw new SignetError(notJson, `${what}: expected strict JSON, found ${error.message}`);
  }
  const result = schema.safeParse(json);
  if (!result.success) throw new SignetError(code, `${what}: ${describeFirstIssue(result.error)}`);
  return result.data;
}

function describeFirstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "not valid";
  return `${z.core.toDotPath(issue.path) || "top level"}: ${issue.message}`;
}
