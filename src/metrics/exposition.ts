import { formatProtobuf } from "./format-protobuf.ts";
import { formatOpenMetrics, formatText } from "./format-text.ts";
import type { MetricFamily } from "./scrape.ts";

/** A form that metrics can be sent in. */
export interface Exposition {
  readonly contentType: string;
  format(families: readonly MetricFamily[]): Buffer | string;
}

const text: Exposition = { contentType: "text/plain; version=0.0.4; charset=utf-8", format: formatText };
const openMetrics: Exposition = {
  contentType: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  format: formatOpenMetrics,
};
const protobuf: Exposition = {
  contentType: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
  format: formatProtobuf,
};

/** Longer than any that a scraper sends. */
const MAX_ACCEPT = 4096;

/** The form that an Accept header likes best of those that there are; text where it likes none. */
export function expositionFor(accept: string | undefined): Exposition {
  let best: { readonly exposition: Exposition; readonly quality: number } = { exposition: text, quality: 0 };
  for (const range of (accept ?? "").slice(0, MAX_ACCEPT).toLowerCase().split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    const values = new Map(parameters.map((parameter) => parameter.split(/\s*=\s*/, 2) as [string, string]));
    const exposition = expositionOf(type!, values);
    const quality = Number(values.get("q") ?? 1);
    if (exposition !== undefined && quality > best.quality) best = { exposition, quality };
  }
  return best.exposition;
}

function expositionOf(type: string, parameters: ReadonlyMap<string, string>): Exposition | undefined {
  if (type === "text/plain" || type === "text/*" || type === "*/*") return text;
  if (type === "application/openmetrics-text") {
    return ["1.0.0", undefined].includes(parameters.get("version")) ? openMetrics : undefined;
  }
  const isOurs = parameters.get("proto") === "io.prometheus.client.metricfamily";
  const isDelimited = parameters.get("encoding") === "delimited";
  return type === "application/vnd.google.protobuf" && isOurs && isDelimited ? protobuf : undefined;
}
