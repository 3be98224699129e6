import type { Histogram } from "../telemetry/index.ts";
import { classicBuckets } from "./buckets.ts";
import type { MetricFamily, Sample } from "./scrape.ts";

/** How the two text formats differ. */
interface Dialect {
  /** The name and type of a family's comments. */
  describe(family: MetricFamily): { readonly name: string; readonly type: string };
  /** A bound of a bucket. */
  bound(seconds: number): string;
  readonly end: string;
}

const TOTAL = /_total$/;

const plain: Dialect = {
  describe: ({ name, type }) => ({ name, type }),
  bound: (seconds) => `${seconds}`,
  end: "",
};

/** A counter must be called `_total` there. Triton's are not, and would get other names; of an unknown type they keep them. */
const openMetrics: Dialect = {
  describe: ({ name, type }) => {
    if (type !== "counter") return { name, type };
    return TOTAL.test(name) ? { name: name.replace(TOTAL, ""), type } : { name, type: "unknown" };
  },
  bound: (seconds) => (Number.isInteger(seconds) ? `${seconds}.0` : `${seconds}`),
  end: "# EOF\n",
};

/** Prometheus' text format, version 0.0.4. */
export function formatText(families: readonly MetricFamily[]): string {
  return format(families, plain);
}

/** OpenMetrics 1.0.0. */
export function formatOpenMetrics(families: readonly MetricFamily[]): string {
  return format(families, openMetrics);
}

function format(families: readonly MetricFamily[], dialect: Dialect): string {
  const lines = families.flatMap((family) => {
    const { name, type } = dialect.describe(family);
    const samples = family.samples.flatMap((sample) => linesOf(family, sample, dialect));
    return [`# HELP ${name} ${escapeHelp(family.help)}\n`, `# TYPE ${name} ${type}\n`, ...samples];
  });
  return lines.join("") + dialect.end;
}

function linesOf({ name, labels }: MetricFamily, { labelValues, value }: Sample, dialect: Dialect): string[] {
  const pairs = labels.map((label, index) => `${label}="${escapeLabel(labelValues[index]!)}"`).join(",");
  if (typeof value === "number") return [`${name}${inBraces(pairs)} ${value}\n`];
  return histogramLines(name, pairs, value, dialect);
}

function histogramLines(name: string, pairs: string, histogram: Histogram, { bound }: Dialect): string[] {
  const { count, ns } = histogram;
  const bucket = `${name}_bucket{${pairs}${pairs === "" ? "" : ","}le=`;
  const lines = classicBuckets(histogram).map(({ upperBoundSeconds, cumulativeCount }) => {
    return `${bucket}"${bound(upperBoundSeconds)}"} ${cumulativeCount}\n`;
  });
  const own = inBraces(pairs);
  return [...lines, `${bucket}"+Inf"} ${count}\n`, `${name}_sum${own} ${ns / 1e9}\n`, `${name}_count${own} ${count}\n`];
}

function inBraces(pairs: string): string {
  return pairs === "" ? "" : `{${pairs}}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(text: string): string {
  return escapeLabel(text).replaceAll('\\"', '"');
}
