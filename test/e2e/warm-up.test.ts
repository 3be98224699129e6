import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { encodeBytesElements } from "../../src/tensor/index.ts";
import { faultyService, identityService, useServer } from "../helpers/licensed-host.ts";
import { RestClient, statusOf } from "../helpers/rest-client.ts";

const http = { listen: "127.0.0.1:0" };

function useFile(data: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "signet-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "input.raw");
  writeFileSync(file, data);
  return file;
}

/** The faulty plugin told by a file what to do. */
const warmup = (file: string, count = 1) => [{ name: "first", count, inputs: { mode: { data: { file } } } }];
const word = (text: string) => encodeBytesElements([Buffer.from(text)]);

test("warm-up is charged nothing, and nobody finds it in statistics or the run log", async () => {
  const services = [{ ...identityService, limits: { runs: 1, concurrency: 1 } }];
  const request = { name: "first", count: 5, batchSize: 3, inputs: { input: { data: "random" } } };
  const { server, token } = await useServer(services, { http, services: { identity: { warmup: [request] } } });
  const client = new RestClient(server.httpAddress!, token);
  expect(server.services[0]!.authorization.runsLeft).toBe(1);
  expect((await client.get("/v2/models/identity/stats")).json).toMatchObject({
    model_stats: [{ inference_count: 0, inference_stats: { success: { count: 0 }, fail: { count: 0 } } }],
  });
  const call = () => statusOf(client.post("/v2/models/identity/generate", { input: [1] }));
  expect(await call()).toEqual({ status: 200 });
  expect(await call()).toEqual({ status: 403, code: "LICENSE_RUNS_EXHAUSTED" });
});

test("a service whose warm-up fails is not ready and says why, until it succeeds; others are ready", async () => {
  const file = useFile(word("fail"));
  const services = { faulty: { warmup: warmup(file), admission: "reject" } };
  const { server, token, log } = await useServer([identityService, faultyService], { http, services });
  const client = new RestClient(server.httpAddress!, token);
  const readiness = async (service: string) => (await client.get(`/v2/models/${service}/ready`)).status;
  expect(await readiness("faulty")).toBe(503);
  expect(await readiness("identity")).toBe(200);
  expect((await client.get("/v2/health/ready")).status).toBe(503);
  const call = client.post("/v2/models/faulty/generate", { mode: "ok", amount: 1 });
  expect(await statusOf(call)).toEqual({ status: 503, code: "SERVICE_NOT_READY" });
  await vi.waitFor(async () => {
    const index = (await client.post("/v2/repository/index", {})).json;
    expect(index).toMatchObject([
      { state: "READY" },
      { state: "UNAVAILABLE", reason: expect.stringContaining("WARM_UP_FAILED") },
    ]);
  }, 30_000);
  const err = {
    code: "WARM_UP_FAILED",
    message: expect.stringMatching(/faulty: warmup "first": .*failed, as it was asked to/),
  };
  expect(log).toContainEqual(expect.objectContaining({ service: "faulty", err: expect.objectContaining(err) }));
  writeFileSync(file, word("ok"));
  await vi.waitFor(async () => expect(await readiness("faulty")).toBe(200), 60_000);
  expect((await client.get("/v2/health/ready")).status).toBe(200);
});

test("a renewal whose service fails its warm-up is refused, and the old one goes on", async () => {
  const file = useFile(word("ok"));
  const host = await useServer([faultyService], { http, services: { faulty: { warmup: warmup(file, 2) } } });
  const client = new RestClient(host.server.httpAddress!, host.token);
  const { pid } = host.server.services[0]!.runner;
  writeFileSync(file, word("fail"));
  await host.renew([{ ...faultyService, limits: { concurrency: 2 } }]);
  await host.server.checkLicense();
  expect(host.log).toContainEqual(
    expect.objectContaining({
      msg: "the installed license is refused; the one in force stays",
      err: expect.objectContaining({ code: "WARM_UP_FAILED" }),
    }),
  );
  expect(host.server.services[0]!.runner.pid).toBe(pid);
  expect(await statusOf(client.post("/v2/models/faulty/generate", { mode: "ok", amount: 1 }))).toEqual({ status: 200 });
});
