import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { foreignTools, runTool } from "../helpers/foreign-tools.ts";
import { identityService, startLicensedServer } from "../helpers/licensed-host.ts";
import { Scraper } from "../helpers/metrics.ts";

const tools = await foreignTools();
const reason = "missing" in tools ? ` (skipped, there is no ${tools.missing})` : "";

/**
 * Windows that count requests, in a wide band, because nothing is measured here. It stops at three good ones; on a busy
 * machine many more may pass before it has three without a request that began in one and ended in the next.
 */
const brief = ["--measurement-mode", "count_windows", "--measurement-request-count", "20", "-s", "999", "-r", "100"];
const floats = {
  ...identityService,
  name: "floats",
  config: { datatype: "FP32", shape: [16] },
  limits: { concurrency: 2 },
};

describe.skipIf("missing" in tools)(`perf_analyzer from PyPI, unmodified${reason}`, () => {
  let host: Awaited<ReturnType<typeof startLicensedServer>>;
  let scraper: Scraper;

  beforeAll(async () => {
    const listen = "127.0.0.1:0";
    host = await startLicensedServer([floats], { http: { listen }, metrics: { listen }, sharedMemory: true });
    scraper = new Scraper(host.server.metricsAddress!);
  });

  afterAll(async () => {
    await host?.end();
  });

  const succeeded = async () => (await scraper.value('nv_inference_request_success{model="floats",version="1"}'))!;

  async function analyze(wire: "grpc" | "http", flags: readonly string[], authorization = `Bearer ${host.token}`) {
    if ("missing" in tools) throw new Error("skipped");
    const address = wire === "grpc" ? host.server.address : host.server.httpAddress!;
    const before = await succeeded();
    const { out, exit } = await runTool(
      tools.perfAnalyzer,
      ["-m", "floats", "-i", wire, "-u", address, "-H", `authorization:${authorization}`, ...brief, ...flags],
      tools.libraries,
    );
    return { out, exit, inferences: (await succeeded()) - before };
  }

  test.each([
    ["gRPC", "grpc", []],
    ["gRPC, several at a time", "grpc", ["--async", "--concurrency-range", "4"]],
    ["a stream of gRPC", "grpc", ["--async", "--streaming", "--concurrency-range", "4"]],
    ["system shared memory over gRPC", "grpc", ["--shared-memory", "system", "--output-shared-memory-size", "4096"]],
    ["REST", "http", []],
    ["system shared memory over REST", "http", ["--shared-memory", "system", "--output-shared-memory-size", "4096"]],
  ] as const)("measures %s", async (_, wire, flags) => {
    const { out, exit, inferences } = await analyze(wire, flags);
    expect({ exit, out }).toMatchObject({ exit: 0, out: expect.stringMatching(/Concurrency: \d+, throughput: [1-9]/) });
    // What it says of the server it has from ModelStatistics.
    expect(out).toMatch(/Server:[\s\S]*Inference count: [1-9]/);
    expect(inferences).toBeGreaterThanOrEqual(20);
  });

  test("reads the server's metrics, and finds no GPU there", async () => {
    const { out, exit } = await analyze("grpc", [
      "--collect-metrics",
      "--metrics-url",
      `${host.server.metricsAddress}/metrics`,
    ]);
    expect({ exit, out }).toMatchObject({ exit: 0, out: expect.stringContaining("Server Prometheus Metrics") });
  });

  test("says so where its token is none", async () => {
    const { out, exit, inferences } = await analyze("grpc", [], "Bearer nobody");
    expect(exit).not.toBe(0);
    expect(out).toContain("authorization");
    expect(inferences).toBe(0);
  });
});
