import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { configSchema } from "../../src/config/index.ts";
import { errorCatalogue } from "../../src/errors.ts";

/**
 * Writes the reference pages that are drawn from the code: `node tools/dev/generate-reference.ts`.
 * test/contract/docs-match-code.test.ts fails where a page and the code differ.
 */

const NOTICE = "<!-- Made from the code by tools/dev/generate-reference.ts; change the code, then run that. -->";

/** File name in docs/reference/ → text. */
export function referencePages(): Record<string, string> {
  return { "config.md": configPage(), "errors.md": errorsPage() };
}

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
}

function configPage(): string {
  const schema = z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
  return `${NOTICE}

# Configuration

\`signet serve\` reads \`signet.yaml\` in the data directory, or the file that \`--config\` names. Every key may be
left out. A key that is not listed here is an error, and so is a value outside its range: the message names the
file and the key. \`CONFIG_INVALID\` ends the start before anything listens.

\`\`\`yaml
listen: 127.0.0.1:8001
defaults:
  maxQueue: 128
services:
  text-recognizer:
    admission: reject
\`\`\`

| Key | Value | Default | Meaning |
|---|---|---|---|
${rowsOf(schema, "").join("\n")}
`;
}

function rowsOf(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const key = prefix + name;
    if (field.properties !== undefined) return [row(key, field, true), ...rowsOf(field, `${key}.`)];
    const byName = field.additionalProperties;
    if (typeof byName === "object") {
      // The same keys as under defaults; naming them twice would only make the page longer.
      return [row(`${key}.NAME`, { ...field, default: undefined }, true)];
    }
    return [row(key, field, schema.required?.includes(name) === true)];
  });
}

function row(key: string, field: JsonSchema, withoutDefault: boolean): string {
  const value = field.properties !== undefined || field.type === "object" ? "section" : describeValue(field);
  const fallback = withoutDefault || field.default === undefined ? "" : code(field.default);
  return `| \`${key}\` | ${value} | ${fallback} | ${(field.description ?? "").replaceAll("|", "\\|")} |`;
}

function describeValue(field: JsonSchema): string {
  if (field.enum !== undefined) return field.enum.map(code).join(", ");
  if (field.anyOf !== undefined) return field.anyOf.map(describeValue).join(" or ");
  if (field.type === "null") return code(null);
  if (field.type === "boolean") return `${code(true)}, ${code(false)}`;
  if (field.type === "integer") return `${field.minimum} to ${field.maximum}`;
  return "text";
}

function code(value: unknown): string {
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([name, { status, exit, meaning, next }]) => `| \`${name}\` | ${status} | ${exit} | ${meaning} | ${next} |`,
  );
  return `${NOTICE}

# Errors

Every failure has a code. Codes are stable: new ones may come, none is renamed or reused. The commands print
\`signet: CODE: what happened. What to do next.\` in one line and end with the exit code; over gRPC the code is in
the trailing metadata \`signet-code\`, beside the status, and over REST in a header of that name and in the body;
[rest.md](rest.md#errors) has the HTTP statuses.

Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 refused by license or verification.

| Code | gRPC status | Exit | What happened | What to do |
|---|---|---|---|---|
${rows.join("\n")}
`;
}

if (import.meta.main) {
  const folder = fileURLToPath(new URL("../../docs/reference/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(referencePages())) writeFileSync(folder + name, text);
}
