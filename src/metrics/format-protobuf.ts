import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import { type Histogram, SCHEMA, ZERO_THRESHOLD_SECONDS } from "../telemetry/index.ts";
import { classicBuckets, nativeBuckets } from "./buckets.ts";
import type { MetricFamily, Sample } from "./scrape.ts";

const types = { counter: "COUNTER", gauge: "GAUGE", histogram: "HISTOGRAM" } as const;

let message: MessageTypeDefinition<object, object> | undefined;

/** One message for each family, each behind its length; the only format that has native histograms. */
export function formatProtobuf(families: readonly MetricFamily[]): Buffer {
  message ??= loadMessage();
  const { serialize } = message;
  return Buffer.concat(
    families.flatMap((family) => {
      const bytes = serialize(messageOf(family));
      return [varint(bytes.length), bytes];
    }),
  );
}

function loadMessage(): MessageTypeDefinition<object, object> {
  const file = fileURLToPath(new URL("../../proto/metrics.proto", import.meta.url));
  const loaded = loadSync(file, { keepCase: true, longs: Number });
  return loaded["io.prometheus.client.MetricFamily"] as MessageTypeDefinition<object, object>;
}

function messageOf({ name, help, type, labels, samples }: MetricFamily): object {
  const metric = samples.map(({ labelValues, value }) => ({
    label: labels.map((label, index) => ({ name: label, value: labelValues[index] })),
    ...valueMessage(type, value),
  }));
  return { name, help, type: types[type], metric };
}

function valueMessage(type: MetricFamily["type"], value: Sample["value"]): object {
  if (typeof value !== "number") return { histogram: histogramOf(value) };
  return type === "counter" ? { counter: { value } } : { gauge: { value } };
}

function histogramOf(histogram: Histogram): object {
  const { zeroCount, spans, deltas } = nativeBuckets(histogram);
  return {
    sample_count: histogram.count,
    sample_sum: histogram.ns / 1e9,
    bucket: classicBuckets(histogram).map(({ upperBoundSeconds, cumulativeCount }) => ({
      cumulative_count: cumulativeCount,
      upper_bound: upperBoundSeconds,
    })),
    schema: SCHEMA,
    zero_threshold: ZERO_THRESHOLD_SECONDS,
    zero_count: zeroCount,
    positive_span: spans,
    positive_delta: deltas,
  };
}

/** As protobuf writes whole numbers: seven bits a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
