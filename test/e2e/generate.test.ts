import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { faultyService, identityService, startLicensedServer, useServer } from "../helpers/licensed-host.ts";
import { RestClient, statusOf } from "../helpers/rest-client.ts";

const http = { listen: "127.0.0.1:0" };
const unlimited = { limits: { concurrency: 2 } };
const malformed = { status: 400, code: "REQUEST_MALFORMED" };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: RestClient;

beforeAll(async () => {
  host = await startLicensedServer(
    [
      { ...identityService, ...unlimited, name: "words", config: { datatype: "BYTES", shape: [-1] } },
      { ...identityService, ...unlimited, name: "rows", config: { datatype: "INT64", shape: [-1, 2, -1] } },
      { ...identityService, ...unlimited, name: "halves", config: { datatype: "FP16", shape: [-1] } },
      { ...faultyService, ...unlimited },
    ],
    { http, defaults: { cancelGraceMs: 60_000 } },
  );
  client = new RestClient(host.server.httpAddress!, host.token);
});

afterAll(async () => {
  await host?.end();
});

const generate = (model: string, body: unknown) => client.post(`/v2/models/${model}/generate`, body);

describe("generate", () => {
  test("takes plain values and answers with plain values", async () => {
    const { status, json } = await generate("words", { id: "7", input: "a word" });
    expect({ status, json }).toEqual({
      status: 200,
      json: { model_name: "words", model_version: "1", id: "7", output: "a word" },
    });
    expect((await generate("words", { input: ["two", "words"] })).json).toMatchObject({ output: ["two", "words"] });
    expect((await generate("words", { input: [] })).json).toMatchObject({ output: [] });
    expect((await client.post("/v2/models/words/versions/1/generate", { input: "x" })).json).toMatchObject({
      output: "x",
    });
  });

  test("takes values flat or nested as the service's shape is, with every digit", async () => {
    const flat = await generate("rows", Buffer.from(`{"input":[1,2,9007199254740993,4]}`));
    expect(flat.body.toString()).toContain(`"output":[1,2,9007199254740993,4]`);
    expect((await generate("rows", { input: [[[1], [2]]] })).json).toMatchObject({ output: [1, 2] });
    for (const input of [[1, 2, 3], [[1, 2]], 1, [[[1, 2, 3]]], [[[1], [2, 3]]]]) {
      expect(await statusOf(generate("rows", { input }))).toEqual(malformed);
    }
  });

  test("finds inputs among the parameters too, and takes other values as parameters", async () => {
    const parameters = { input: "a word", temperature: 0.5, stream: false };
    expect((await generate("words", { max_tokens: 20, parameters })).json).toMatchObject({ output: "a word" });
    for (const body of [
      { input: "x", parameters: { input: "y" } },
      { input: "x", other: 1, parameters: { other: 2 } },
      { input: "x", parameters: { priority: "high" } },
      { input: "x", triton_x: 1 },
      { input: "x", other: [1] },
      { input: "x", ...Object.fromEntries(Array.from({ length: 1024 }, (_, index) => [`p${index}`, 1])) },
    ]) {
      expect(await statusOf(generate("words", body))).toEqual(malformed);
    }
    const sequence = generate("words", { input: "x", parameters: { sequence_id: 1 } });
    expect(await statusOf(sequence)).toEqual({ status: 501, code: "NOT_IMPLEMENTED" });
  });

  test("refuses values that are none of the service's", async () => {
    for (const body of [{}, { text_input: "x" }, { input: {} }, { input: null }, { input: [["x"]] }, [], "x"]) {
      expect(await statusOf(generate("words", body))).toEqual(malformed);
    }
    // Nothing in JSON is an FP16.
    expect(await statusOf(generate("halves", { input: 1 }))).toEqual(malformed);
  });

  test("is there for who may infer, and for services that are there", async () => {
    const path = "/v2/models/words/generate";
    expect(await statusOf(client.post(path, { input: "x" }, { token: null }))).toMatchObject({ status: 401 });
    const { token } = await addToken(host.data.accessFile, {
      ...{ name: "viewer", role: "viewer", services: "all", expires: null },
    });
    const viewer = { token: token.reveal() };
    await vi.waitFor(async () => expect((await client.get("/v2", viewer)).status).toBe(200), { timeout: 10_000 });
    for (const what of [path, `${path}_stream`]) {
      const denied = { status: 403, code: "PERMISSION_DENIED" };
      expect(await statusOf(client.post(what, { input: "x" }, viewer))).toEqual(denied);
    }
    for (const other of ["/v2/models/nobody/generate", "/v2/models/words/versions/2/generate_stream"]) {
      expect(await statusOf(client.post(other, {}))).toEqual({ status: 404, code: "SERVICE_NOT_FOUND" });
    }
  });
});

describe("generate_stream", () => {
  const stream = (model: string, body: unknown) => client.post(`/v2/models/${model}/generate_stream`, body);

  test("answers with one server-sent event, whatever is in it", async () => {
    const input = "two\nlines\r\nand: data";
    const { status, headers, body } = await stream("words", { input });
    expect({ status, type: headers["content-type"] }).toEqual({
      status: 200,
      type: "text/event-stream; charset=utf-8",
    });
    const lines = body.toString().split("\n");
    expect(lines.slice(1)).toEqual(["", ""]);
    expect(JSON.parse(lines[0]!.replace(/^data: /, ""))).toMatchObject({ output: input });
  });

  test("fails with a status before there is an event", async () => {
    const failed = await stream("faulty", { mode: "fail", amount: 1 });
    expect(failed).toMatchObject({ code: expect.any(String), json: { code: failed.code } });
    expect(failed.status).toBeGreaterThanOrEqual(400);
    expect(await statusOf(stream("words", {}))).toEqual(malformed);
  });

  test("ends in the plugin when its client goes away", async () => {
    const { runner } = host.server.services.find(({ conf }) => conf.name === "faulty")!;
    const controller = new AbortController();
    const body = { mode: "wait", amount: 3_600_000 };
    const call = client.post("/v2/models/faulty/generate_stream", body, { signal: controller.signal });
    const failed = expect(call).rejects.toThrow();
    await expect.poll(() => runner.running).toBe(1);
    controller.abort();
    await failed;
    await expect.poll(() => runner.running).toBe(0);
  });

  test("is in the OpenAPI document as what it is", async () => {
    const { paths } = (await client.get("/openapi.json")).json as { paths: Record<string, { post: object }> };
    expect(paths["/v2/models/{model}/generate_stream"]!.post).toMatchObject({
      requestBody: { content: { "application/json": { schema: { type: "object" } } } },
      responses: { 200: { content: { "text/event-stream": {} } } },
    });
  });
});

test("generate counts against a caller's limits and a license's runs as any inference does", async () => {
  const served = await useServer([{ ...identityService, limits: { runs: 2, concurrency: 1 } }], { http });
  const near = new RestClient(served.server.httpAddress!, served.token);
  const call = (what: string) => statusOf(near.post(`/v2/models/identity/${what}`, { input: [1] }));
  expect(await call("generate")).toEqual({ status: 200 });
  expect(await call("generate_stream")).toEqual({ status: 200 });
  expect(await call("generate")).toEqual({ status: 403, code: "LICENSE_RUNS_EXHAUSTED" });
  expect(await call("generate_stream")).toEqual({ status: 403, code: "LICENSE_RUNS_EXHAUSTED" });
});
