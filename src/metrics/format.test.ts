import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import { describe, expect, test } from "vitest";
import { Histogram } from "../telemetry/index.ts";
import { nativeBuckets } from "./buckets.ts";
import { expositionFor } from "./exposition.ts";
import { formatProtobuf } from "./format-protobuf.ts";
import { formatOpenMetrics, formatText } from "./format-text.ts";
import { Scrape } from "./scrape.ts";

const service = { service: 'a "b"\\\n', version: "1" };

function exampleFamilies() {
  const histogram = new Histogram();
  for (const ms of [0, 1, 1, 1000, 500_000]) histogram.record(ms);
  const scrape = new Scrape();
  scrape.add("signet_ready", {}, 1);
  scrape.add("signet_requests_total", { ...service, code: "OK" }, 5);
  scrape.add("signet_request_duration_seconds", service, histogram);
  scrape.add("nv_inference_count", { model: "m", version: "1" }, 5);
  return scrape.families();
}

describe("the text formats", () => {
  test("escape what labels may contain, and count what is in no classic bucket", () => {
    const lines = formatText(exampleFamilies()).split("\n");
    expect(lines).toContain('signet_requests_total{service="a \\"b\\"\\\\\\n",version="1",code="OK"} 5');
    const bucket = (le: string) =>
      `signet_request_duration_seconds_bucket{service="a \\"b\\"\\\\\\n",version="1",le="${le}"}`;
    expect(lines).toContain(`${bucket("0.0001220703125")} 1`);
    expect(lines).toContain(`${bucket("0.001953125")} 3`);
    expect(lines).toContain(`${bucket("1")} 4`);
    expect(lines).toContain(`${bucket("128")} 4`);
    expect(lines).toContain(`${bucket("+Inf")} 5`);
  });

  test("OpenMetrics names a counter without _total and its value with it, and ends", () => {
    const text = formatOpenMetrics(exampleFamilies());
    expect(text).toContain("# TYPE signet_requests counter\nsignet_requests_total{");
    expect(text).toContain("# TYPE nv_inference_count unknown\nnv_inference_count{");
    expect(text).toContain('le="1.0"');
    expect(text.endsWith("\n# EOF\n")).toBe(true);
  });
});

describe("protobuf", () => {
  test("says the same, each family behind its length", () => {
    const file = fileURLToPath(new URL("../../proto/metrics.proto", import.meta.url));
    const loaded = loadSync(file, { keepCase: true, longs: Number, enums: String });
    const { deserialize } = loaded["io.prometheus.client.MetricFamily"] as MessageTypeDefinition<object, object>;
    const bytes = formatProtobuf(exampleFamilies());
    const families: object[] = [];
    for (let at = 0; at < bytes.length; ) {
      let length = bytes[at]! & 0x7f;
      if (bytes[at++]! > 0x7f) length += bytes[at++]! * 128;
      families.push(deserialize(bytes.subarray(at, at + length)));
      at += length;
    }
    expect(families).toMatchObject([
      { name: "signet_ready", type: "GAUGE", metric: [{ gauge: { value: 1 } }] },
      { name: "signet_requests_total", metric: [{ label: [{ value: 'a "b"\\\n' }, {}, {}], counter: { value: 5 } }] },
      {
        type: "HISTOGRAM",
        metric: [
          { histogram: { sample_count: 5, sample_sum: 501.002, schema: 3, zero_count: 1, zero_threshold: 2 ** -20 } },
        ],
      },
      { name: "nv_inference_count" },
    ]);
  });

  test("has a native bucket where something was recorded, and nothing between", () => {
    const histogram = new Histogram();
    // 1 s is the end of bucket 0, 2^(1/8) s of bucket 1; 0.5 s of bucket -8.
    for (const seconds of [1, 1, 1, 2 ** (1 / 8) - 1e-6, 0.5, 0.5]) histogram.record(seconds * 1000);
    expect(nativeBuckets(histogram)).toEqual({
      zeroCount: 0,
      spans: [
        { offset: -8, length: 1 },
        { offset: 7, length: 2 },
      ],
      deltas: [2, 1, -2],
    });
    // Without a span, a reader would take it for a classic histogram.
    expect(nativeBuckets(new Histogram())).toEqual({ zeroCount: 0, spans: [{ offset: 0, length: 0 }], deltas: [] });
  });
});

const PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

test.each([
  [undefined, "text/plain"],
  ["", "text/plain"],
  ["*/*", "text/plain"],
  ["text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"],
  [
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text",
  ],
  ["application/openmetrics-text;version=0.0.1,text/plain;q=0.5", "text/plain"],
  [`${PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5`, "application/vnd.google.protobuf"],
  [
    `${PROTOBUF};q=0.2,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.8`,
    "application/openmetrics-text",
  ],
  ["application/vnd.google.protobuf;proto=other;encoding=delimited,text/plain;q=0.1", "text/plain"],
  ["text/plain;q=x,;=,q=1;;,".repeat(1000), "text/plain"],
])("Accept: %.60j gets %s", (accept, type) => {
  expect(expositionFor(accept).contentType.split(";")[0]).toBe(type);
});
