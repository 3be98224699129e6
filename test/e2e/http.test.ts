import { Writable } from "node:stream";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseConfig } from "../../src/config/index.ts";
import { startServer } from "../../src/server.ts";
import { addToken } from "../../src/service/index.ts";
import { createLog } from "../../src/telemetry/index.ts";
import {
  faultyService,
  identityService,
  startLicensedServer,
  useLicensedHost,
  useServer,
} from "../helpers/licensed-host.ts";
import { binaryBody, RestClient, statusOf } from "../helpers/rest-client.ts";

const http = { listen: "127.0.0.1:0" };
const unlimited = { limits: { concurrency: 2 } };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: RestClient;

beforeAll(async () => {
  host = await startLicensedServer(
    [
      { ...identityService, ...unlimited, name: "floats", config: { datatype: "FP32", shape: [-1] } },
      { ...identityService, ...unlimited, name: "longs", config: { datatype: "INT64", shape: [2, -1] } },
      { ...identityService, ...unlimited, name: "halves", config: { datatype: "FP16", shape: [-1] } },
      { ...identityService, ...unlimited, name: "words", config: { datatype: "BYTES", shape: [-1] } },
      { ...faultyService, ...unlimited },
    ],
    { http, defaults: { cancelGraceMs: 60_000 } },
  );
  client = new RestClient(host.server.httpAddress!, host.token);
});

afterAll(async () => {
  await host?.end();
});

const INFER = "/v2/models/floats/infer";

function input(data: unknown, shape: number[], datatype = "FP32") {
  return { name: "input", datatype, shape, data };
}

function floats(...values: number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

describe("the document about the interface", () => {
  test("has every call, and each of them is there as it says: open, or closed without a token", async () => {
    const { json } = await client.get("/openapi.json");
    const { openapi, paths } = json as { openapi: string; paths: Record<string, Record<string, object>> };
    expect(openapi).toBe("3.1.0");
    const called = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    );
    expect(called.length).toBeGreaterThan(30);
    for (const { path, method, operation } of called) {
      const real = path.replaceAll("{model}", "nobody").replaceAll("{version}", "1").replaceAll("{region}", "none");
      const stranger = await statusOf(client.call(method, real, { token: null }));
      if ("security" in operation) expect([path, stranger]).toEqual([path, { status: 200 }]);
      else expect([path, stranger]).toEqual([path, { status: 401, code: "UNAUTHENTICATED" }]);
      const { code } = await client.call(method, real);
      expect([path, code]).not.toEqual([path, "ROUTE_NOT_FOUND"]);
    }
  });

  test.each([
    ["GET", "/"],
    ["GET", "/v2/"],
    ["POST", "/v2"],
    ["PUT", INFER],
    ["GET", INFER],
    ["OPTIONS", INFER],
    ["HEAD", "/v2"],
    ["GET", "/v2/models/floats/nothing"],
  ])("has not %s %s, which is no call", async (method, path) => {
    expect(await statusOf(client.call(method, path))).toEqual({ status: 404, code: "ROUTE_NOT_FOUND" });
  });
});

describe("what the server tells", () => {
  test("everybody: whether it lives and is ready", async () => {
    expect(await client.get("/v2/health/live", { token: null })).toMatchObject({ status: 200, json: { live: true } });
    expect(await client.get("/v2/health/ready", { token: null })).toMatchObject({ status: 200, json: { ready: true } });
  });

  test("of a service, by its name and its version, and of no other version", async () => {
    const tensor = { datatype: "FP32", shape: [-1] };
    const metadata = { name: "floats", versions: ["1"], inputs: [{ name: "input", ...tensor }] };
    for (const path of ["/v2/models/floats", "/v2/models/floats/versions/1"]) {
      expect(await client.get(path)).toMatchObject({ status: 200, json: metadata });
      expect(await client.get(`${path}/ready`)).toMatchObject({ status: 200, json: { name: "floats", ready: true } });
      expect(await client.get(`${path}/config`)).toMatchObject({ json: { input: [{ data_type: "TYPE_FP32" }] } });
      expect(await client.get(`${path}/stats`)).toMatchObject({ json: { model_stats: [{ name: "floats" }] } });
    }
    for (const path of ["/v2/models/floats/versions/2", "/v2/models/nobody", "/v2/models/nobody/ready"]) {
      expect(await statusOf(client.get(path))).toEqual({ status: 404, code: "SERVICE_NOT_FOUND" });
    }
  });

  test("in Triton's words for an unknown service, which some clients look for", async () => {
    const { json } = await client.get("/v2/models/nobody");
    expect(json).toMatchObject({ error: expect.stringContaining("Request for unknown model: 'nobody' is not found") });
  });
});

describe("an inference in JSON", () => {
  test("answers with the outputs and the request's id", async () => {
    const { status, json } = await client.post(INFER, { id: "7", inputs: [input([1, 2.5], [2])] });
    expect(status).toBe(200);
    const output = { name: "output", datatype: "FP32", shape: [2], data: [1, 2.5] };
    expect(json).toEqual({ model_name: "floats", model_version: "1", id: "7", outputs: [output] });
  });

  test("takes elements flat or nested as the shape is, and every digit of 64-bit integers", async () => {
    const text = `{"inputs":[{"name":"input","datatype":"INT64","shape":[2,2],"data":[[9007199254740993,-9223372036854775808],["9223372036854775807",1]]}]}`;
    const { body } = await client.post("/v2/models/longs/versions/1/infer", Buffer.from(text));
    expect(body.toString()).toContain(`"data":[9007199254740993,-9223372036854775808,9223372036854775807,1]`);
  });

  test("writes what JSON has no number for by name", async () => {
    const { json } = await client.post(INFER, { inputs: [input(["NaN", "Infinity", "-Infinity"], [3])] });
    expect(json).toMatchObject({ outputs: [{ data: ["NaN", "Infinity", "-Infinity"] }] });
  });

  test("has base64 for datatypes without a form in JSON, and for bytes that are no text", async () => {
    const half = { name: "input", datatype: "FP16", shape: [1], base64: "ADw=" };
    const { json } = await client.post("/v2/models/halves/infer", { inputs: [half] });
    expect(json).toMatchObject({ outputs: [{ datatype: "FP16", shape: [1], base64: "ADw=" }] });
    const base64 = Buffer.of(1, 0, 0, 0, 0xff).toString("base64");
    const word = { name: "input", datatype: "BYTES", shape: [1], base64 };
    expect((await client.post("/v2/models/words/infer", { inputs: [word] })).json).toMatchObject({
      outputs: [{ base64 }],
    });
  });

  test("goes through compressed", async () => {
    const json = Buffer.from(JSON.stringify({ inputs: [input(Array(1000).fill(1), [1000])] }));
    for (const [encoding, body] of [
      ["gzip", gzipSync(json)],
      ["deflate", deflateSync(json)],
    ] as const) {
      const answer = await client.post(INFER, body, { headers: { "content-encoding": encoding } });
      expect(answer).toMatchObject({ status: 200, json: { outputs: [{ shape: [1000] }] } });
    }
  });

  test("classifies, and gives only the outputs that are asked for", async () => {
    const outputs = [{ name: "output", parameters: { classification: 1 } }];
    const { json } = await client.post(INFER, { inputs: [input([0.5, 4], [2])], outputs });
    expect(json).toMatchObject({ outputs: [{ datatype: "BYTES", shape: [1], data: ["4.000000:1"] }] });
  });
});

describe("an inference with binary data", () => {
  const given = { name: "input", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } };

  test("answers in JSON unless asked otherwise", async () => {
    const { body, headers } = binaryBody({ inputs: [given] }, floats(1, 2));
    expect((await client.post(INFER, body, { headers })).json).toMatchObject({ outputs: [{ data: [1, 2] }] });
  });

  test.each([
    ["for the request", { parameters: { binary_data_output: true } }],
    ["for the output", { outputs: [{ name: "output", parameters: { binary_data: true } }] }],
  ])("answers with binary data where it is asked for, %s", async (_, wanted) => {
    const { body, headers } = binaryBody({ inputs: [given], ...wanted }, floats(1, 2));
    const answer = await client.post(INFER, body, { headers });
    expect(answer.headers["content-type"]).toBe("application/octet-stream");
    const length = Number(answer.headers["inference-header-content-length"]);
    const json = JSON.parse(answer.body.subarray(0, length).toString());
    expect(json.outputs).toEqual([
      { name: "output", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
    ]);
    expect(answer.body.subarray(length)).toEqual(floats(1, 2));
  });

  test("is as good for an output of its own as for all", async () => {
    const wanted = {
      parameters: { binary_data_output: true },
      outputs: [{ name: "output", parameters: { binary_data: false } }],
    };
    const { json } = await client.post(INFER, { inputs: [input([1], [1])], ...wanted });
    expect(json).toMatchObject({ outputs: [{ data: [1] }] });
  });
});

describe("a request that makes no sense is refused with what was expected:", () => {
  const sized = (size: unknown) => ({
    name: "input",
    datatype: "FP32",
    shape: [1],
    parameters: { binary_data_size: size },
  });

  test.each<[string, unknown, object?]>([
    ["no JSON", Buffer.from("{")],
    ["bytes that are no UTF-8", Buffer.of(0x22, 0xff, 0x22)],
    ["a list", []],
    ["no inputs", {}],
    ["inputs that are no list", { inputs: {} }],
    ["an input without a name", { inputs: [{ datatype: "FP32", shape: [1], data: [1] }] }],
    ["another input", { inputs: [{ ...input([1], [1]), name: "other" }] }],
    ["an unknown datatype", { inputs: [input([1], [1], "FP31")] }],
    ["another datatype", { inputs: [input([1], [1], "FP64")] }],
    ["too few elements", { inputs: [input([1], [2])] }],
    ["an element of another kind", { inputs: [input([{}], [1])] }],
    ["data that is no list", { inputs: [input(1, [1])] }],
    ["a shape of fractions", { inputs: [input([1], [0.5])] }],
    ["a shape below zero", { inputs: [input([], [-1])] }],
    ["an unknown output", { inputs: [input([1], [1])], outputs: [{ name: "other" }] }],
    ["parameters that are a list", { inputs: [input([1], [1])], parameters: [] }],
    ["a parameter that is an object", { inputs: [input([1], [1])], parameters: { a: {} } }],
    ["a reserved parameter", { inputs: [input([1], [1])], parameters: { triton_x: 1 } }],
    ["a priority of words", { inputs: [input([1], [1])], parameters: { priority: "high" } }],
    ["a flag that is none", { inputs: [input([1], [1])], parameters: { binary_data_output: "yes" } }],
    ["data twice", { inputs: [{ ...input([1], [1]), parameters: { binary_data_size: 0 } }] }],
    ["binary data that is not there", { inputs: [sized(4)] }],
    ["binary data of a size below zero", { inputs: [sized(-4)] }],
    ["binary data of a size beyond everything", { inputs: [sized(2 ** 60)] }],
    ["a length beyond the body", {}, { "inference-header-content-length": "1000" }],
    ["a length of nothing", {}, { "inference-header-content-length": "0" }],
    ["a length that is no number", {}, { "inference-header-content-length": "1e1" }],
    ["another encoding", {}, { "content-encoding": "br" }],
    ["an encoding that it is not in", {}, { "content-encoding": "gzip" }],
  ])("%s", async (_, body, headers = {}) => {
    const answer = await client.post(INFER, body, { headers: headers as Record<string, string> });
    expect(await statusOf(Promise.resolve(answer))).toEqual({ status: 400, code: "REQUEST_MALFORMED" });
    expect(answer.json).toMatchObject({ error: expect.stringMatching(/expected|shape/), code: "REQUEST_MALFORMED" });
  });

  test("binary data that belongs to no input", async () => {
    const { body, headers } = binaryBody({ inputs: [sized(4)] }, floats(1, 2));
    expect(await statusOf(client.post(INFER, body, { headers }))).toEqual({ status: 400, code: "REQUEST_MALFORMED" });
  });

  test("a sequence, which is not there yet", async () => {
    const body = { inputs: [input([1], [1])], parameters: { sequence_id: 5, sequence_start: true } };
    expect(await statusOf(client.post(INFER, body))).toEqual({ status: 501, code: "NOT_IMPLEMENTED" });
  });
});

describe("a call that nobody waits for any more", () => {
  test("because its connection broke ends in the plugin, whose process lives on", async () => {
    const { runner } = host.server.services.find(({ conf }) => conf.name === "faulty")!;
    const { pid } = runner;
    const inputs = [
      { name: "mode", datatype: "BYTES", shape: [1], data: ["wait"] },
      { name: "amount", datatype: "INT64", shape: [1], data: [3_600_000] },
    ];
    const controller = new AbortController();
    const call = client.post("/v2/models/faulty/infer", { inputs }, { signal: controller.signal });
    const failed = expect(call).rejects.toThrow();
    await expect.poll(() => runner.running).toBe(1);
    controller.abort();
    await failed;
    await expect.poll(() => runner.running).toBe(0);
    expect(runner.pid).toBe(pid);
  });
});

describe("operators", () => {
  let operator: RestClient;

  beforeAll(async () => {
    const grant = { name: "operator", role: "operator", services: "all", expires: null } as const;
    const { token } = await addToken(host.data.accessFile, grant);
    operator = new RestClient(host.server.httpAddress!, token.reveal());
    await vi.waitFor(async () => expect((await operator.get("/v2")).status).toBe(200), { timeout: 10_000 });
  });

  test("unload and load services, and nobody else does", async () => {
    const [unload, load] = ["unload", "load"].map((what) => `/v2/repository/models/words/${what}`);
    expect(await statusOf(client.post(unload!))).toEqual({ status: 403, code: "PERMISSION_DENIED" });
    expect(await statusOf(operator.post(unload!, { parameters: { unload_dependents: false } }))).toEqual({
      status: 200,
    });
    expect(await client.get("/v2/models/words/ready")).toMatchObject({ status: 503, json: { ready: false } });
    const ready = (await client.post("/v2/repository/index", { ready: true })).json as { name: string }[];
    expect(ready.map(({ name }) => name)).not.toContain("words");
    expect(await statusOf(operator.post(load!))).toEqual({ status: 200 });
    expect(await client.get("/v2/models/words/ready")).toMatchObject({ status: 200, json: { ready: true } });
    const content = { parameters: { "file:1/model.so": "f0VMRg==" } };
    expect(await statusOf(operator.post(load!, content))).toEqual({ status: 400, code: "NOT_IN_LICENSE" });
  });

  test("read and change the settings of log and traces", async () => {
    expect((await operator.get("/v2/logging")).json).toMatchObject({ log_info: true, log_verbose_level: 0 });
    expect((await operator.post("/v2/logging", { log_verbose_level: 1 })).json).toMatchObject({ log_verbose_level: 1 });
    await client.get("/v2");
    await expect.poll(() => host.log.map(({ msg }) => msg)).toContain("REST call");
    const call = host.log.find(({ msg, path }) => msg === "REST call" && path === "/v2");
    expect(call).toMatchObject({ method: "GET", status: 200, identity: "test", peer: "127.0.0.1" });
    await operator.post("/v2/logging", { log_verbose_level: 0 });
    expect(await statusOf(operator.post("/v2/logging", { log_file: "/tmp/x" }))).toMatchObject({ status: 501 });
    const path = "/v2/models/floats/trace/setting";
    expect((await operator.post(path, { trace_rate: 5 })).json).toMatchObject({ trace_rate: "5" });
    expect((await operator.get(path)).json).toMatchObject({ trace_rate: "5", trace_level: ["OFF"] });
    expect((await operator.post(path, { trace_rate: null })).json).toMatchObject({ trace_rate: "1000" });
    const on = operator.post("/v2/trace/setting", { trace_level: ["TIMESTAMPS"] });
    expect(await statusOf(on)).toEqual({ status: 400, code: "TRACING_OFF" });
  });
});

test("an address for REST that is taken ends the start before any service has a process", async () => {
  const { data } = await useLicensedHost([identityService]);
  const config = parseConfig({ listen: "127.0.0.1:0", http: { listen: host.server.httpAddress! } }, "test");
  const log: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(line, _, done) {
      log.push(JSON.parse(String(line)));
      done();
    },
  });
  const starting = startServer({ data, config, log: createLog({ level: "info", format: "json", destination }) });
  await expect(starting).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  expect(log.map(({ msg }) => msg)).toContain("first authorization passed");
  expect(log.filter(({ state }) => state === "starting")).toEqual([]);
});

test("a license near its end is told of with every inference", async () => {
  const served = await useServer([identityService], { http }, { validDays: 5 });
  const near = new RestClient(served.server.httpAddress!, served.token);
  const { headers } = await near.post("/v2/models/identity/infer", { inputs: [input([1], [1], "UINT8")] });
  expect(headers).toMatchObject({ "signet-license-state": "expiring", "signet-license-days-left": "5" });
});

test("a server that stops answers what it has begun, and takes nothing new", async () => {
  const served = await useServer([{ ...faultyService, ...unlimited }], { http });
  const leaving = new RestClient(served.server.httpAddress!, served.token);
  const inputs = [
    { name: "mode", datatype: "BYTES", shape: [1], data: ["wait"] },
    { name: "amount", datatype: "INT64", shape: [1], data: [1500] },
  ];
  const call = leaving.post("/v2/models/faulty/infer", { inputs });
  await expect.poll(() => served.server.services[0]!.runner.running).toBe(1);
  const stopped = served.server.stop();
  await expect(leaving.get("/v2/health/live")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  const { status, headers } = await call;
  expect({ status, connection: headers.connection }).toEqual({ status: 200, connection: "close" });
  await stopped;
});
