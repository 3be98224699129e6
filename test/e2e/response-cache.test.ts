import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { addToken } from "../../src/service/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import {
  faultyService,
  identityService,
  type ServingHost,
  startLicensedServer,
  useServer,
} from "../helpers/licensed-host.ts";
import { RestClient, statusOf } from "../helpers/rest-client.ts";

const attack = attacksOn("calls");
const http = { listen: "127.0.0.1:0" };
const cached = { http, defaults: { responseCache: true } };
const unlimited = { limits: { concurrency: 2 } };

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: RestClient;

beforeAll(async () => {
  host = await startLicensedServer(
    [
      { ...identityService, name: "floats", config: { datatype: "FP32", shape: [-1] } },
      { ...identityService, ...unlimited, name: "plain" },
      { ...faultyService, ...unlimited },
    ],
    { ...cached, services: { plain: { responseCache: false } } },
  );
  client = new RestClient(host.server.httpAddress!, host.token);
});

afterAll(async () => {
  await host?.end();
});

let next = 0;
let question: object;
/** Another one in each test. */
beforeEach(() => {
  next++;
  question = { inputs: [{ name: "input", datatype: "FP32", shape: [2], data: [next, 0.5] }] };
});

const ask = (more: object = {}, options: object = {}) =>
  client.post("/v2/models/floats/infer", { ...question, ...more }, options);

/** Counts of one service, by name. */
async function countsOf(service: string, from = client) {
  const { json } = await from.get(`/v2/models/${service}/stats`);
  const [stats] = (
    json as {
      model_stats: [{ inference_count: number; inference_stats: Record<string, { count: number; ns: number }> }];
    }
  ).model_stats;
  const { success, fail, queue, compute_infer, cache_hit, cache_miss } = stats.inference_stats;
  return {
    inferences: stats.inference_count,
    ...{ success: success!.count, fail: fail!.count, queue: queue!.count, computed: compute_infer!.count },
    ...{ hits: cache_hit!.count, misses: cache_miss!.count },
  };
}

/** How many more there are afterwards. */
async function counted(service: string, action: () => Promise<unknown>, from = client) {
  const before = await countsOf(service, from);
  await action();
  const after = await countsOf(service, from);
  return Object.fromEntries(
    Object.entries(after).map(([name, count]) => [name, count - before[name as keyof typeof before]]),
  );
}

const ran = { inferences: 1, success: 1, fail: 0, queue: 1, computed: 1, hits: 0, misses: 1 };
const hit = { inferences: 0, success: 1, fail: 0, queue: 1, computed: 0, hits: 1, misses: 0 };

function runsOf({
  data,
}: Pick<ServingHost, "data">): Promise<
  { service: string; outcome: string; charged: boolean; runsLeft: number | null }[]
> {
  return vi.waitFor(() =>
    readFileSync(data.runLogFile, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );
}

describe("the same request again", () => {
  test("is answered the same without a run, and nothing is charged for it", async () => {
    const lines = (await runsOf(host).catch(() => [])).length;
    let first: unknown;
    expect(await counted("floats", async () => (first = (await ask()).json))).toEqual(ran);
    expect(await counted("floats", async () => expect((await ask()).json).toEqual(first))).toEqual(hit);
    await vi.waitFor(async () => {
      const [one, two] = (await runsOf(host)).slice(lines);
      expect([one, two]).toMatchObject([
        { service: "floats", outcome: "OK", charged: true },
        { service: "floats", outcome: "OK", charged: false },
      ]);
      expect(two!.runsLeft).toBe(one!.runsLeft);
    });
  });

  test("is the same however the answer is wanted, and by whom", async () => {
    await ask();
    const { token } = await addToken(host.data.accessFile, {
      ...{ name: `other-${next}`, role: "client", services: ["floats"], expires: null },
    });
    const other = { token: token.reveal() };
    await vi.waitFor(async () => expect((await client.get("/v2", other)).status).toBe(200), { timeout: 10_000 });
    const classes = { outputs: [{ name: "output", parameters: { classification: 1 } }] };
    const binary = { parameters: { binary_data_output: true } };
    expect(await counted("floats", () => ask({ id: "7" }))).toEqual(hit);
    expect(await counted("floats", () => ask({ parameters: { priority: 1 } }, other))).toEqual(hit);
    expect(
      await counted("floats", async () => {
        expect((await ask(classes)).json).toMatchObject({ outputs: [{ data: [`${next}.000000:0`] }] });
      }),
    ).toEqual(hit);
    expect(
      await counted("floats", async () => {
        const { body, headers } = await ask(binary);
        const data = body.subarray(Number(headers["inference-header-content-length"]));
        expect(data).toEqual(Buffer.from(Float32Array.of(next, 0.5).buffer));
      }),
    ).toEqual(hit);
  });

  test(
    "gets nothing for who may not call the service",
    attack("asks for cached answers of a service it was not granted", "the very request that another caller sent"),
    async () => {
      await ask();
      const { token } = await addToken(host.data.accessFile, {
        ...{ name: `stranger-${next}`, role: "client", services: ["plain"], expires: null },
      });
      const stranger = { token: token.reveal() };
      await vi.waitFor(async () => expect((await client.get("/v2", stranger)).status).toBe(200), { timeout: 10_000 });
      expect(await statusOf(ask({}, stranger))).toEqual({ status: 403, code: "PERMISSION_DENIED" });
    },
  );

  test("is another where a single byte or dimension is", async () => {
    await ask();
    const other = { inputs: [{ name: "input", datatype: "FP32", shape: [2], data: [next, 0.25] }] };
    expect(await counted("floats", () => ask(other))).toEqual(ran);
    expect(await counted("floats", () => ask({ inputs: [{ ...other.inputs[0], shape: [1], data: [next] }] }))).toEqual(
      ran,
    );
  });

  test("runs again where the service is not configured for it", async () => {
    const plain = () =>
      client.post("/v2/models/plain/infer", { inputs: [{ name: "input", datatype: "UINT8", shape: [1], data: [1] }] });
    await plain();
    expect(await counted("plain", plain)).toEqual({ ...ran, misses: 0 });
    const enabled = async (service: string) => (await client.get(`/v2/models/${service}/config`)).json;
    expect(await enabled("plain")).toMatchObject({ response_cache: { enable: false } });
    expect(await enabled("floats")).toMatchObject({ response_cache: { enable: true } });
  });

  test("runs again where it failed", async () => {
    const fail = () => client.post("/v2/models/faulty/generate", { mode: "fail", amount: next });
    const failed = { ...ran, inferences: 0, success: 0, fail: 1, queue: 0, computed: 0, misses: 0 };
    expect(await counted("faulty", fail)).toEqual(failed);
    expect(await counted("faulty", fail)).toEqual(failed);
  });
});

describe("answers are forgotten", () => {
  test("when the service's process ends", async () => {
    const good = () => client.post("/v2/models/faulty/generate", { mode: "ok", amount: next });
    await good();
    expect(await counted("faulty", good)).toEqual(hit);
    await client.post("/v2/models/faulty/generate", { mode: "segv", amount: 1 });
    await vi.waitFor(async () => expect((await client.get("/v2/models/faulty/ready")).status).toBe(200), {
      timeout: 30_000,
    });
    expect(await counted("faulty", good)).toEqual(ran);
  });

  test("when it is unloaded", async () => {
    const grant = { name: `operator-${next}`, role: "operator", services: "all", expires: null } as const;
    const { token } = await addToken(host.data.accessFile, grant);
    const operator = { token: token.reveal() };
    await vi.waitFor(async () => expect((await client.get("/v2", operator)).status).toBe(200), { timeout: 10_000 });
    await ask();
    const of = (what: string) => `/v2/repository/models/floats/${what}`;
    expect((await client.post(of("unload"), {}, operator)).status).toBe(200);
    expect(await statusOf(ask())).toEqual({ status: 503, code: "SERVICE_UNLOADED" });
    expect((await client.post(of("load"), {}, operator)).status).toBe(200);
    expect(await counted("floats", () => ask())).toEqual(ran);
  });

  test("when another license comes into force", async () => {
    const served = await useServer([identityService], cached);
    const near = new RestClient(served.server.httpAddress!, served.token);
    const call = () => near.post("/v2/models/identity/generate", { input: [1] });
    await call();
    expect(await counted("identity", call, near)).toEqual(hit);
    await served.renew([identityService]);
    await served.server.checkLicense();
    expect(await counted("identity", call, near)).toEqual(ran);
  });
});

describe("the license", () => {
  test("counts runs and not answers", async () => {
    const served = await useServer([{ ...identityService, limits: { runs: 1, concurrency: 1 } }], cached);
    const near = new RestClient(served.server.httpAddress!, served.token);
    const call = (value: number) => statusOf(near.post("/v2/models/identity/generate", { input: [value] }));
    expect(await call(1)).toEqual({ status: 200 });
    expect(await call(1)).toEqual({ status: 200 });
    expect(await call(2)).toEqual({ status: 403, code: "LICENSE_RUNS_EXHAUSTED" });
    expect(await call(1)).toEqual({ status: 200 });
  });

  test(
    "is looked at before the cache",
    attack("asks for cached answers of a service whose library was changed", "the same request before and after"),
    async () => {
      const served = await useServer([identityService], cached);
      const near = new RestClient(served.server.httpAddress!, served.token);
      const call = () => statusOf(near.post("/v2/models/identity/generate", { input: [1] }));
      expect(await call()).toEqual({ status: 200 });
      appendFileSync(join(served.data.licenseDir, "files", "identity", "libsignet_identity.so"), "x");
      expect(await call()).toEqual({ status: 400, code: "LIBRARY_CHANGED" });
      expect(await call()).toEqual({ status: 400, code: "LIBRARY_CHANGED" });
    },
  );
});
