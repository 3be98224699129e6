import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { debianPackage } from "../helpers/debian.ts";
import { identityService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { promtool, usePrometheus } from "../helpers/prometheus.ts";
import { RestClient } from "../helpers/rest-client.ts";

const found = await debianPackage("prometheus");
const reason = "missing" in found ? ` (skipped, there is no ${found.missing})` : "";
const directory = "missing" in found ? "" : found.directory;

const guide = readFileSync(join(import.meta.dirname, "../../docs/guides/monitor.md"), "utf8");
const blocks = [...guide.matchAll(/```yaml\n# (\S+)\n(.*?)```/gs)].map(([, file, text]) => ({ file, text: text! }));
const checked = blocks.filter(({ file }) => file !== "signet.yaml");
const rules = blocks.find(({ file }) => file === "signet.rules.yml")!.text;

async function infer(host: ServingHost, calls: number): Promise<void> {
  const client = new RestClient(host.server.httpAddress!, host.token);
  const inputs = [{ name: "input", datatype: "UINT8", shape: [3], data: [1, 2, 3] }];
  for (let call = 0; call < calls; call++) {
    expect((await client.post("/v2/models/identity/infer", { inputs })).status).toBe(200);
  }
}

const scrape = (address: string, more: object = {}) => {
  const job = { job_name: "signet", static_configs: [{ targets: [address] }], ...more };
  return JSON.stringify({
    global: { scrape_interval: "500ms", scrape_timeout: "500ms", evaluation_interval: "500ms" },
    rule_files: ["signet.rules.yml"],
    scrape_configs: [job],
  });
};

describe.skipIf("missing" in found)(`the real Prometheus${reason}`, () => {
  test("has native histograms where it asks for them, and alerts a license's end by the guide's rules", async () => {
    const license = { validDays: 5 };
    const http = { listen: "127.0.0.1:0" };
    const host = await useServer([identityService], { http, metrics: http }, license);
    await infer(host, 7);
    const text = scrape(host.server.metricsAddress!);
    const prometheus = await usePrometheus(directory, { text, rules }, ["--enable-feature=native-histograms"]);
    await expect.poll(() => prometheus.value('signet_requests_total{service="identity",code="OK"}')).toBe(7);
    expect(await prometheus.value("histogram_count(signet_request_duration_seconds)")).toBe(7);
    expect(await prometheus.value("histogram_quantile(0.5, signet_request_duration_seconds)")).toBeGreaterThan(0);
    expect(await prometheus.value("histogram_count(signet_event_loop_lag_seconds)")).toBeGreaterThan(0);
    expect(await prometheus.query("signet_request_duration_seconds_bucket")).toEqual([]);
    expect(await prometheus.value('nv_inference_request_success{model="identity",version="1"}')).toBe(7);
    await expect
      .poll(async () => (await prometheus.query("ALERTS")).map(({ metric }) => [metric.alertname, metric.alertstate]))
      .toEqual([["SignetLicenseEndsSoon", "firing"]]);
    await infer(host, 2);
    await expect.poll(() => prometheus.value("histogram_count(signet_queue_duration_seconds)")).toBe(9);
  });

  test("has classic ones and Triton's names where it does not, and a token where one is needed", async () => {
    const host = await useServer([identityService], {
      http: { listen: "127.0.0.1:0" },
      metrics: { listen: "0.0.0.0:0" },
      insecure: true,
    });
    const grant = { name: "prometheus", role: "viewer", services: "all", expires: null } as const;
    const { token } = await addToken(host.data.accessFile, grant);
    const file = join(host.data.root, "prometheus.token");
    writeFileSync(file, token.reveal());
    await infer(host, 3);
    const address = `127.0.0.1:${host.server.metricsAddress!.split(":")[1]}`;
    const text = scrape(address, { authorization: { credentials_file: file } });
    const prometheus = await usePrometheus(directory, { text }, []);
    const count = 'signet_request_duration_seconds_bucket{service="identity",le="+Inf"}';
    await expect.poll(() => prometheus.value(count)).toBe(3);
    expect(await prometheus.value("nv_inference_request_success")).toBe(3);
    expect(await prometheus.value("nv_inference_exec_count")).toBe(3);
    expect(await prometheus.value('up{job="signet"}')).toBe(1);
    expect((await prometheus.query("signet_request_duration_seconds_bucket")).length).toBe(22);
  });

  test.each(checked)("understands $file of the guide", async ({ file, text }) => {
    const command = file === "prometheus.yml" ? ["check", "config", "--syntax-only"] : ["check", "rules"];
    expect(await promtool(directory, command, text)).toBe("");
  });
});
