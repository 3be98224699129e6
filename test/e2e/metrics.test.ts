import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createTlsDirectory } from "../../src/certs/index.ts";
import { addToken } from "../../src/service/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { faultyService, identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";
import { Scraper } from "../helpers/metrics.ts";
import { RestClient, sendByHand, statusOf } from "../helpers/rest-client.ts";
import { transportUnderTest } from "../helpers/transport.ts";

const attack = attacksOn("calls");
const address = { listen: "127.0.0.1:0" };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: RestClient;
let stranger: RestClient;
let scraper: Scraper;

beforeAll(async () => {
  host = await startLicensedServer([identityService, { ...faultyService, limits: { concurrency: 1 } }], {
    http: address,
    metrics: address,
  });
  client = new RestClient(host.server.httpAddress!, host.token);
  stranger = new RestClient(host.server.metricsAddress!, null);
  scraper = new Scraper(host.server.metricsAddress!);
});

afterAll(async () => {
  await host?.end();
});

const OF = `service="identity",version="1"`;
const SUCCEEDED = `signet_requests_total{${OF},code="OK"}`;
const CHARGED = `signet_license_runs_charged_total{${OF}}`;
const LEFT = `signet_license_runs_left{${OF}}`;

const inputs = [{ name: "input", datatype: "UINT8", shape: [3], data: [1, 2, 3] }];
const crash = [
  { name: "mode", datatype: "BYTES", shape: [1], data: ["abort"] },
  { name: "amount", datatype: "INT64", shape: [1], data: [1] },
];
const infer = (service: string) => client.post(`/v2/models/${service}/infer`, { inputs });

describe("the metrics", () => {
  test("count requests by service and outcome, under Signet's names and Triton's, and what they cost", async () => {
    const before = await Promise.all([scraper.value(SUCCEEDED), scraper.value(CHARGED), scraper.value(LEFT)]);
    for (let calls = 0; calls < 3; calls++) expect((await infer("identity")).status).toBe(200);
    expect((await client.post("/v2/models/identity/infer", { inputs: [] })).code).toBe("REQUEST_MALFORMED");
    expect(await scraper.value(SUCCEEDED)).toBe(before[0]! + 3);
    expect(await scraper.value(`signet_requests_total{${OF},code="REQUEST_MALFORMED"}`)).toBe(1);
    expect(await scraper.value(CHARGED)).toBe(before[1]! + 3);
    expect(await scraper.value(LEFT)).toBe(before[2]! - 3);
    const succeeded = await scraper.value(SUCCEEDED);
    for (const name of ["request", "queue", "run"]) {
      expect(await scraper.value(`signet_${name}_duration_seconds_count{${OF}}`)).toBe(succeeded);
      expect(await scraper.value(`signet_${name}_duration_seconds_bucket{${OF},le="+Inf"}`)).toBe(succeeded);
    }
    const alias = `model="identity",version="1"`;
    expect(await scraper.value(`nv_inference_request_success{${alias}}`)).toBe(succeeded);
    expect(await scraper.value(`nv_inference_exec_count{${alias}}`)).toBe(succeeded);
    expect(await scraper.value(`nv_inference_request_failure{${alias},reason="OTHER"}`)).toBe(1);
    expect(await scraper.value(`nv_inference_request_duration_us{${alias}}`)).toBeGreaterThan(0);
  });

  test("tell the state of a service, how often its process was started, and why it ended", async () => {
    const ends = `signet_service_process_ends_total{service="faulty",version="1",code="SERVICE_CRASHED"}`;
    expect(await scraper.value(ends)).toBe(undefined);
    const starts = await scraper.value(`signet_service_process_starts_total{service="faulty",version="1"}`);
    expect((await client.post("/v2/models/faulty/infer", { inputs: crash })).code).toBe("SERVICE_CRASHED");
    const ready = `signet_service_state{service="faulty",version="1",state="ready"}`;
    await expect.poll(() => scraper.value(ready)).toBe(1);
    expect(await scraper.value(ends)).toBe(1);
    const of = `service="faulty",version="1"`;
    expect(await scraper.value(`signet_service_events_total{${of},kind="ended"}`)).toBe(1);
    expect(await scraper.value(`signet_service_process_ends_in_a_row{${of}}`)).toBe(1);
    expect(await scraper.value(`signet_service_stuck_requests{${of}}`)).toBe(0);
    expect(await scraper.value(`signet_service_memory_limit_bytes{${of}}`)).toBe(4096 * 2 ** 20);
    expect(await scraper.value(`signet_service_log_lines_total{${of},result="dropped"}`)).toBe(0);
    expect(await scraper.value(`signet_service_process_starts_total{service="faulty",version="1"}`)).toBe(starts! + 1);
    expect(await scraper.value(`nv_inference_request_failure{model="faulty",version="1",reason="BACKEND"}`)).toBe(1);
  });

  test("tell of the license and the ledger", async () => {
    const days = await scraper.value(`signet_license_days_left{${OF}}`);
    expect(days).toBeGreaterThan(29);
    expect(days).toBeLessThanOrEqual(30);
    expect(await scraper.value(`signet_license_phase{${OF},phase="valid"}`)).toBe(1);
    expect(await scraper.value(`signet_license_runs_limit{${OF}}`)).toBe(1000);
    expect(await scraper.value(`signet_license_runs_left{service="faulty",version="1"}`)).toBe(undefined);
    for (const name of ["signet_ledger_fault", "signet_license_renewal_refused", `signet_license_refused{${OF}}`]) {
      expect([name, await scraper.value(name)]).toEqual([name, 0]);
    }
  });

  test("count who is not let in, connections and their bytes", async () => {
    const refused = `signet_calls_refused_total{code="UNAUTHENTICATED"}`;
    const before = (await scraper.value(refused)) ?? 0;
    const received = `signet_received_bytes_total{listener="rest"}`;
    const bytes = (await scraper.value(received))!;
    const padding = "x".repeat(5000);
    expect((await client.get("/v2", { token: null, headers: { padding } })).code).toBe("UNAUTHENTICATED");
    expect(await scraper.value(refused)).toBe(before + 1);
    expect(await scraper.value(received)).toBeGreaterThan(bytes + 5000);
    expect(await scraper.value(`signet_connections{listener="metrics"}`)).toBe(1);
    const nonsense = `signet_connections_refused_total{listener="metrics",reason="headers"}`;
    await stranger.get("/metrics", { headers: { padding: "x".repeat(20_000) } });
    expect(await scraper.value(nonsense)).toBe(1);
  });
});

describe("of each listener the metrics", () => {
  test("count connections of gRPC, and those that break the rules of HTTP/2", async () => {
    const { address } = host.server;
    const colon = address.lastIndexOf(":");
    const [accepted, received] = await Promise.all(
      ["connections_accepted_total", "received_bytes_total"].map((name) =>
        scraper.value(`signet_${name}{listener="grpc"}`),
      ),
    );
    const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon));
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    await expect.poll(() => scraper.value(`signet_connections{listener="grpc"}`)).toBe(1);
    socket.resume().write("GET /metrics HTTP/1.1\r\n\r\n");
    await once(socket, "close");
    const reason = transportUnderTest.transport === "node" ? "http2" : "PROTOCOL_ERROR";
    const refused = `signet_connections_refused_total{listener="grpc",reason="${reason}"}`;
    await expect.poll(() => scraper.value(refused)).toBe(1);
    expect(await scraper.value(`signet_connections{listener="grpc"}`)).toBe(0);
    expect(await scraper.value(`signet_connections_accepted_total{listener="grpc"}`)).toBe(accepted! + 1);
    expect(await scraper.value(`signet_received_bytes_total{listener="grpc"}`)).toBe(received! + 25);
  });

  test("count bytes as they are on the network, and failed handshakes, where there is TLS", async () => {
    const root = mkdtempSync(join(tmpdir(), "signet-metrics-tls-"));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const made = await createTlsDirectory(join(root, "tls"), ["127.0.0.1"], { now: new Date(), days: 30 });
    const tls = { cert: made.certificateFile, key: made.keyFile };
    const { server, token } = await useServer([identityService], { tls, http: address, metrics: address });
    const ca = { ca: readFileSync(made.authorityFile) };
    const scrape = async () => String((await new RestClient(server.metricsAddress!, null, ca).get("/metrics")).body);
    const valueIn = (text: string, series: string) => Number(text.split(`\n${series} `)[1]?.split("\n")[0]);
    const padding = "x".repeat(5000);
    expect((await new RestClient(server.httpAddress!, token, ca).get("/v2", { headers: { padding } })).status).toBe(
      200,
    );
    await sendByHand(server.httpAddress!, "GET /v2 HTTP/1.1\r\n\r\n");
    await sendByHand(server.address, "GET /v2 HTTP/1.1\r\n\r\n");
    const text = await scrape();
    expect(valueIn(text, 'signet_received_bytes_total{listener="rest"}')).toBeGreaterThan(5500);
    expect(valueIn(text, 'signet_sent_bytes_total{listener="rest"}')).toBeGreaterThan(500);
    expect(valueIn(text, 'signet_connections_refused_total{listener="rest",reason="tls"}')).toBe(1);
    expect(valueIn(text, 'signet_connections_refused_total{listener="grpc",reason="tls"}')).toBe(1);
    const days = (valueIn(text, "signet_tls_certificate_expiry_timestamp_seconds") - Date.now() / 1000) / 86_400;
    expect(days).toBeGreaterThan(29);
    expect(days).toBeLessThan(31);
  });
});

describe("who may read them", () => {
  test("on a loopback address: everybody, by its own names", async () => {
    for (const name of ["127.0.0.1", "localhost:8002", "127.1.2.3:1", "[::1]:8002"]) {
      expect([name, await statusOf(stranger.get("/metrics", { headers: { host: name } }))]).toEqual([
        name,
        { status: 200 },
      ]);
    }
  });

  // A page of a browser on that machine may lead a name of its own there; it has no token.
  test.each(["rebound.example", "127.0.0.1.example:8002", "127.0.0.1, x"])(
    "there, a request for %j is nobody's",
    attack.each("reads metrics from a page that leads its own name to 127.0.0.1"),
    async (name) => {
      const refused = { status: 401, code: "UNAUTHENTICATED" };
      expect(await statusOf(stranger.get("/metrics", { headers: { host: name } }))).toEqual(refused);
    },
  );

  test("elsewhere: a viewer, or who may do more, with a token", async () => {
    const server = await useServer([identityService], { insecure: true, metrics: { listen: "0.0.0.0:0" } });
    const port = server.server.metricsAddress!.split(":")[1]!;
    const remote = new RestClient(`127.0.0.1:${port}`, null);
    const grant = { name: "prometheus", role: "viewer", services: "all", expires: null } as const;
    const { token } = await addToken(server.data.accessFile, grant);
    expect(await statusOf(remote.get("/metrics"))).toEqual({ status: 401, code: "UNAUTHENTICATED" });
    for (const allowed of [token.reveal(), server.token]) {
      expect(await statusOf(remote.get("/metrics", { token: allowed }))).toEqual({ status: 200 });
    }
  });

  test("nothing else is there", async () => {
    const nowhere = { status: 404, code: "ROUTE_NOT_FOUND" };
    for (const [method, path] of [
      ["GET", "/"],
      ["GET", "/metrics/"],
      ["POST", "/metrics"],
      ["GET", "/v2/health/live"],
    ] as const) {
      expect([method, path, await statusOf(stranger.call(method, path))]).toEqual([method, path, nowhere]);
    }
  });
});
