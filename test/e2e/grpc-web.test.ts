import { readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attacksOn } from "../helpers/attack.ts";
import { frame, methodOf } from "../helpers/bare-client.ts";
import { faultyService, identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";
import { RestClient, statusOf } from "../helpers/rest-client.ts";
import { faultyRequest } from "../helpers/runner.ts";
import { answerTo, WebClient, type WebSettings } from "../helpers/web-client.ts";

const attack = attacksOn("calls");

const MIB = 2 ** 20;
const PAGE = "https://app.example";
const http = { listen: "127.0.0.1:0", origins: [PAGE] };
const unlimited = { limits: { concurrency: 2 } };
const INFER = methodOf("ModelInfer");
const STREAM = methodOf("ModelStreamInfer");

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: WebClient;

beforeAll(async () => {
  const services = [
    { ...identityService, ...unlimited, name: "floats", config: { datatype: "FP32", shape: [-1] } },
    { ...faultyService, ...unlimited },
  ];
  host = await startLicensedServer(
    services,
    { http, maxMessageMiB: 1, defaults: { cancelGraceMs: 60_000 } },
    { validDays: 20 }, // near its end
  );
  client = new WebClient(host.server.httpAddress!, host.token);
});

afterAll(async () => {
  await host?.end();
});

function floats(...values: number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

function inferRequest(values: readonly number[], id = "7") {
  const input = { name: "input", datatype: "FP32", shape: [values.length] };
  return { model_name: "floats", id, inputs: [input], raw_input_contents: [floats(...values)] };
}

function faultyRunner() {
  return host.server.services.find(({ conf }) => conf.name === "faulty")!.runner;
}

/** The wait of a plugin that ends when it is asked to. */
const longWait = faultyRequest("wait", 3_600_000);

/** A request of grpc.health.v1. */
function healthRequest(name: string): Buffer {
  return frame(name === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a, name.length), Buffer.from(name)]));
}

/** What of a health answer says that all is well. */
const SERVING = Buffer.of(0x08, 1);

describe("a gRPC-Web call", () => {
  test.each([false, true])("is answered with a message and trailers (base64: %s)", async (isText) => {
    const answer = await client.call("ModelInfer", inferRequest([1, 2.5]), { isText });
    expect(answer).toMatchObject({ httpStatus: 200, status: "OK", responses: [{ id: "7", model_version: "1" }] });
    expect(answer.responses[0]!.raw_output_contents).toEqual([floats(1, 2.5)]);
    expect(answer.trailers).toMatchObject({ "signet-license-state": "expiring", "signet-license-days-left": "20" });
    const type = isText ? "application/grpc-web-text+proto" : "application/grpc-web+proto";
    expect(answer.headers["content-type"]).toBe(type);
  });

  test("takes base64 in pieces that have padding of their own, however they come", async () => {
    const body = frame(INFER.requestSerialize(inferRequest([1, 2, 3])));
    for (const size of [1, 5, 7, 100]) {
      const call = client.open(INFER.path, { isText: true });
      for (let at = 0; at < body.length; at += size) call.write(body.subarray(at, at + size).toString("base64"));
      call.end();
      expect(await answerTo(call)).toMatchObject({ status: "OK" });
    }
  });

  test.each(["AAA", "AAAA*AAA", "=AAA", "AAAA====", "AA=A"])("of the text %j is refused", async (text) => {
    const call = client.open(INFER.path, { isText: true });
    call.end(text);
    expect(await answerTo(call)).toMatchObject({ status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" });
  });

  test("that fails has the code and the words of the error in its trailers", async () => {
    const refused = await client.call("ModelInfer", { ...inferRequest([1]), model_name: "nobödy" });
    expect(refused).toMatchObject({ httpStatus: 200, status: "NOT_FOUND", code: "SERVICE_NOT_FOUND", messages: [] });
    expect(refused.details).toContain("Request for unknown model: 'nobödy' is not found");
  });

  test("without a token is refused before its message has come", async () => {
    for (const { path } of [INFER, STREAM, methodOf("ServerMetadata")]) {
      const call = client.open(path, { token: null });
      call.flushHeaders();
      expect(await answerTo(call)).toMatchObject({ status: "UNAUTHENTICATED", code: "UNAUTHENTICATED" });
      call.destroy();
    }
  });

  test("that waits to be asked for its message is asked where it is let in, and refused where not", async () => {
    const headers = { expect: "100-continue" };
    const admitted = client.open(INFER.path, { headers });
    admitted.on("continue", () => admitted.end(frame(INFER.requestSerialize(inferRequest([1])))));
    admitted.flushHeaders();
    expect(await answerTo(admitted)).toMatchObject({ status: "OK" });
    const refused = client.open(INFER.path, { headers, token: null });
    refused.flushHeaders();
    const answer = await answerTo(refused);
    expect(answer).toMatchObject({ status: "UNAUTHENTICATED", headers: { connection: "close" } });
  });

  test("that the server does not have is UNIMPLEMENTED", async () => {
    const path = "/inference.GRPCInferenceService/Nothing";
    expect(await client.send(path, frame(Buffer.alloc(0)))).toMatchObject({ status: "UNIMPLEMENTED", httpStatus: 200 });
  });

  test.each<[string, WebSettings["headers"]]>([
    ["another content type", { "content-type": "application/grpc" }],
    ["a content type that browsers send without asking", { "content-type": "text/plain" }],
    ["a body that is compressed as a whole", { "content-encoding": "gzip" }],
  ])("with %s is refused", async (_, headers = {}) => {
    const answer = await client.send(INFER.path, frame(Buffer.alloc(0)), { headers });
    expect(answer).toMatchObject({ status: "INVALID_ARGUMENT", code: "REQUEST_MALFORMED" });
  });

  test("may have a message that is compressed by itself", async () => {
    const message = gzipSync(INFER.requestSerialize(inferRequest([1, 2])));
    const body = frame(message, { compressed: true });
    expect(await client.send(INFER.path, body, { headers: { "grpc-encoding": "gzip" } })).toMatchObject({
      status: "OK",
    });
  });

  test("that is late is DEADLINE_EXCEEDED, and ends in the plugin", async () => {
    const answer = await client.call("ModelInfer", longWait, { headers: { "grpc-timeout": "100m" } });
    expect(answer).toMatchObject({ status: "DEADLINE_EXCEEDED" });
    await expect.poll(() => faultyRunner().running).toBe(0);
  });

  test("whose client goes away ends in the plugin, whose process lives on", async () => {
    const { pid } = faultyRunner();
    const controller = new AbortController();
    const gone = expect(client.call("ModelInfer", longWait, controller)).rejects.toThrow();
    await expect.poll(() => faultyRunner().running).toBe(1);
    controller.abort();
    await gone;
    await expect.poll(() => faultyRunner().running).toBe(0);
    expect(faultyRunner().pid).toBe(pid);
  });

  test("with a message beyond the limit is RESOURCE_EXHAUSTED, and the server answers the next", async () => {
    const tooLong = frame(Buffer.alloc(0), { length: 2 * MIB });
    expect(await client.send(INFER.path, tooLong)).toMatchObject({ status: "RESOURCE_EXHAUSTED" });
    expect(await client.send(INFER.path, frame(Buffer.alloc(MIB + 100)))).toMatchObject({
      status: "RESOURCE_EXHAUSTED",
    });
    // A call that needs no token takes no more than a name.
    const health = { token: null };
    const named = await client.send("/grpc.health.v1.Health/Check", frame(Buffer.alloc(2000)), health);
    expect(named).toMatchObject({ status: "RESOURCE_EXHAUSTED" });
    expect(await client.call("ModelInfer", inferRequest([1]))).toMatchObject({ status: "OK" });
  });

  test("with many messages in one body takes no more of them than one may be long", async () => {
    const one = frame(STREAM.requestSerialize(inferRequest(Array(1000).fill(1))));
    const answer = await client.send(STREAM.path, Buffer.concat(Array(400).fill(one)));
    expect(answer).toMatchObject({ status: "RESOURCE_EXHAUSTED", code: "REQUEST_TOO_LARGE" });
  });

  test("whose body ends in the middle of a message fails", async () => {
    const body = frame(Buffer.alloc(10), { length: 20 });
    for (const path of [INFER.path, "/inference.GRPCInferenceService/ServerLive"]) {
      expect((await client.send(path, body)).status).not.toBe("OK");
    }
  });
});

describe("a stream", () => {
  test("answers each request of its body, in order, errors in band", async () => {
    const bad = { ...inferRequest([3], "c"), model_name: "nobody" };
    const { status, responses } = await client.call("ModelStreamInfer", [
      inferRequest([1], "a"),
      bad,
      inferRequest([2], "b"),
    ]);
    expect(status).toBe("OK");
    expect(responses).toMatchObject([
      { error_message: "", infer_response: { id: "a", raw_output_contents: [floats(1)] } },
      { error_message: expect.stringContaining("nobody"), infer_response: { id: "c" } },
      { error_message: "", infer_response: { id: "b", raw_output_contents: [floats(2)] } },
    ]);
  });

  test("ends with a status at the first error where its client asks for that", async () => {
    const headers = { triton_grpc_error: "true" };
    const bad = { ...inferRequest([3]), model_name: "nobody" };
    const answer = await client.call("ModelStreamInfer", [inferRequest([1]), bad, inferRequest([2])], { headers });
    expect(answer).toMatchObject({ status: "NOT_FOUND", code: "SERVICE_NOT_FOUND" });
    expect(answer.responses).toHaveLength(1);
  });

  test("of health is told at once, without a token, and ends in order when the server stops", async () => {
    const served = await useServer([identityService], { http });
    const watcher = new WebClient(served.server.httpAddress!, null);
    const call = watcher.open("/grpc.health.v1.Health/Watch");
    call.end(healthRequest("identity"));
    const answer = answerTo(call);
    await new Promise((resolve) => call.once("response", (response) => response.once("data", resolve)));
    await served.server.stop();
    expect(await answer).toMatchObject({ status: "OK", messages: [SERVING, Buffer.of(0x08, 2)] });
  });

  test("of health is forgotten when its client goes", async () => {
    const descriptors = readdirSync("/proc/self/fd").length;
    const watches = Array.from({ length: 20 }, () => {
      const call = client.open("/grpc.health.v1.Health/Watch", { token: null });
      call.on("error", () => undefined);
      call.end(healthRequest(""));
      return call;
    });
    await Promise.all(watches.map((call) => new Promise((resolve) => call.once("response", resolve))));
    expect(readdirSync("/proc/self/fd").length).toBeGreaterThan(descriptors + 20);
    for (const call of watches) call.destroy();
    await expect.poll(() => readdirSync("/proc/self/fd").length).toBeLessThan(descriptors + 10);
  });
});

describe("a page", () => {
  const preflight = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" };
  const rest = () => new RestClient(host.server.httpAddress!, host.token);

  test("of a listed origin may call, and may read what answers say", async () => {
    const headers = { origin: PAGE };
    for (const path of [INFER.path, "/v2/models/floats/infer", "/v2"]) {
      const asked = await rest().call("OPTIONS", path, { token: null, headers: { ...headers, ...preflight } });
      expect(asked).toMatchObject({ status: 204, headers: { "access-control-allow-origin": PAGE, vary: "origin" } });
      expect(asked.headers["access-control-allow-headers"]).toContain("authorization");
    }
    const called = await client.call("ModelInfer", inferRequest([1]), { headers });
    expect(called).toMatchObject({ status: "OK", headers: { "access-control-allow-origin": PAGE } });
    const refused = await rest().get("/v2/models/nobody", { headers });
    expect(refused).toMatchObject({ status: 404, headers: { "access-control-allow-origin": PAGE } });
    expect(refused.headers["access-control-expose-headers"]).toContain("signet-code");
  });

  test.each([
    "https://evil.example",
    "http://app.example",
    "https://app.example:8443",
    "null",
    "https://app.example, https://evil.example",
  ])(
    "of %s may not: nothing of its call begins",
    attack.each("calls from a page of somebody else's"),
    async (origin) => {
      const denied = { status: 403, code: "ORIGIN_NOT_ALLOWED" };
      const headers = { origin };
      const asked = await rest().call("OPTIONS", INFER.path, { token: null, headers: { ...headers, ...preflight } });
      expect(asked).toMatchObject(denied);
      expect(asked.headers).not.toHaveProperty("access-control-allow-origin");
      const { runner } = host.server.services[0]!;
      expect(await statusOf(rest().get("/v2", { headers }))).toEqual(denied);
      expect(await statusOf(rest().post("/v2/models/floats/infer", {}, { headers }))).toEqual(denied);
      const called = await client.call("ModelInfer", inferRequest([1]), { headers });
      expect(called).toMatchObject({ httpStatus: 403, code: "ORIGIN_NOT_ALLOWED", status: "none" });
      expect(runner.running).toBe(0);
    },
  );

  test("of the server's own origin may call", async () => {
    const headers = { origin: `http://${host.server.httpAddress}` };
    expect(await statusOf(rest().get("/v2", { headers }))).toEqual({ status: 200 });
  });
});
