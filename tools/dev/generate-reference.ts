import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { configSchema } from "../../src/config/index.ts";
import { errorCatalogue } from "../../src/errors.ts";
import { type MetricDefinition, metricCatalogue } from "../../src/metrics/index.ts";

/**
 * Writes the reference pages that are drawn from the code: `node tools/dev/generate-reference.ts`.
 * test/contract/docs-match-code.test.ts fails where a page and the code differ.
 */

const NOTICE = "<!-- Made from the code by tools/dev/generate-reference.ts; change the code, then run that. -->";

/** File name in docs/reference/ → text. */
export function referencePages(): Record<string, string> {
  return { "config.md": configPage(), "errors.md": errorsPage(), "metrics.md": metricsPage() };
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
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
    const section = field.anyOf?.find(({ properties }) => properties !== undefined);
    if (section !== undefined) return [row(key, field, false), ...rowsOf(section, `${key}.`)];
    if (field.properties !== undefined) return [row(key, field, true), ...rowsOf(field, `${key}.`)];
    if (field.items?.properties !== undefined) return [row(key, field, false), ...rowsOf(field.items, `${key}[].`)];
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
  if (field.items?.properties !== undefined) return "list of sections";
  if (field.items !== undefined) return `list of ${describeValue(field.items)}`;
  const { type } = field;
  if (typeof type === "object") return type.map((each) => describeValue({ ...field, type: each })).join(" or ");
  if (field.properties !== undefined) return "section";
  if (field.type === "null") return code(null);
  if (field.type === "boolean") return `${code(true)}, ${code(false)}`;
  if (field.type === "integer") return `${field.minimum} to ${field.maximum}`;
  return "text";
}

function code(value: unknown): string {
  return `\`${typeof value === "string" && value !== "" ? value : JSON.stringify(value)}\``;
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

function metricsPage(): string {
  const definitions: [string, MetricDefinition][] = Object.entries(metricCatalogue);
  const tableOf = (isIn: (name: string) => boolean) => {
    const rows = definitions
      .filter(([name]) => isIn(name))
      .map(([name, { type, labels, help }]) => `| \`${name}\` | ${type} | ${labels.map(code).join(", ")} | ${help} |`);
    return ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|", ...rows].join("\n");
  };
  const isTritons = (name: string) => name.startsWith("nv_");
  const isSignets = (name: string) => name.startsWith("signet_");
  return `${NOTICE}

# Metrics

What \`GET /metrics\` answers where the configuration has \`metrics:\`; [the guide](../guides/monitor.md) says how to turn it
on, who may read it, and what to ask Prometheus. Times are in seconds unless the name says otherwise, and so are dates,
since 1970. Nothing here comes from clients, so the number of series is bounded by the license and the catalogue of
errors; no token, no client and no serial number is among the labels.

A scraper chooses the form by its \`Accept\` header: Prometheus' text 0.0.4, OpenMetrics 1.0.0, or Prometheus' protobuf,
which alone has native histograms: schema 3, buckets 9 % wide from a microsecond to 36 hours. In the others histograms have
a bucket for each power of two from 122 us to 128 s.

Counters begin at 0 when the server starts, but for those of the ledger.

${tableOf(isSignets)}

The gateway's process, under names that dashboards know:

${tableOf((name) => !isSignets(name) && !isTritons(name))}

Triton's, with its labels and units. In OpenMetrics, where a counter must be called \`_total\`, they are of an unknown type
and keep their names:

${tableOf(isTritons)}

\`reason\` is \`REJECTED\` for what did not get its turn (full queue, not ready, too late), \`CANCELED\` where the client
went away, \`BACKEND\` where the plugin or its process failed, and \`OTHER\`.
`;
}

if (import.meta.main) {
  const folder = fileURLToPath(new URL("../../docs/reference/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(referencePages())) writeFileSync(folder + name, text);
}
