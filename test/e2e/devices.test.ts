import { expect, test, vi } from "vitest";
import { AdminClient } from "../../src/grpc/index.ts";
import { addToken } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { useBareClient } from "../helpers/bare-client.ts";
import { codeOfAsync } from "../helpers/code-of.ts";
import { fakeUuid, useFakeDriver } from "../helpers/fake-driver.ts";
import { useJobClient } from "../helpers/job-client.ts";
import { type DescribedService, faultyService, type ServingHost, useServer } from "../helpers/licensed-host.ts";
import { Scraper } from "../helpers/metrics.ts";
import { RestClient } from "../helpers/rest-client.ts";
import { faultyRequest } from "../helpers/runner.ts";

const attack = attacksOn("the host's identity");

function onGpu(name: string, gpuMemoryMiB: number): DescribedService {
  return { ...faultyService, name, needs: { gpus: 1, gpuMemoryMiB } };
}

const runnerOf = ({ server }: ServingHost, name: string) =>
  server.services.find(({ conf }) => conf.name === name)!.runner;

async function useOperator({ server, data }: ServingHost) {
  const grant = { name: "operator", role: "operator", services: "all", expires: null } as const;
  const { token } = await addToken(data.accessFile, grant);
  const client = useBareClient(server.address, token.reveal());
  await vi.waitFor(() => client.call("ServerMetadata"), { timeout: 10_000 });
  return { client, token: token.reveal() };
}

test("a server with more services than its cards hold serves those that fit, and the others in their turn", async () => {
  const driver = useFakeDriver({});
  const services = [onGpu("ocr", 50_000), onGpu("late", 40_000), { ...faultyService, name: "plain" }];
  const host = await useServer(services, {}, undefined, driver.root);
  expect(services.map(({ name }) => runnerOf(host, name).state)).toEqual(["ready", "waiting", "ready"]);
  const jobs = useJobClient(host.server.address, host.token);
  const [job] = await jobs.submit({ request: faultyRequest("device", 1, "late") });
  const waitsFor = "room for late, which is waiting for 39.1 GiB on gpu:0, held by ocr";
  await expect.poll(async () => (await jobs.status(job!.job_id)).waits_for).toBe(waitsFor);
  const { client } = await useOperator(host);
  const { models } = await client.call<{ models: { name: string; state: string }[] }>("RepositoryIndex", {});
  expect(models.map(({ name, state }) => `${name} ${state}`)).toEqual(["ocr READY", "late UNAVAILABLE", "plain READY"]);
  await client.call("RepositoryModelUnload", { model_name: "ocr" });
  expect(await jobs.ended(job!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", device: "gpu:0" });
  const { bytes } = await jobs.result(job!.job_id);
  expect(bytes.readBigInt64LE()).toBe(100n); // on CUDA device 0
});

test("metrics tell how the cards are, what is kept of them, and what was used at most", async () => {
  const driver = useFakeDriver({ totalMiB: 10_000 }, { partitions: { 0: { totalMiB: 1000 } } });
  const metrics = { listen: "127.0.0.1:0" };
  const host = await useServer([onGpu("ocr", 4000)], { metrics }, undefined, driver.root);
  const scraper = new Scraper(host.server.metricsAddress!);
  const { pid } = runnerOf(host, "ocr");
  const cards = [
    { totalMiB: 10_000, usedMiB: 3500, utilizationPercent: 42, temperatureC: 77, processes: { [pid!]: 3000 } },
    { partitions: {} },
  ];
  driver.set(cards);
  await expect.poll(() => scraper.value(`signet_gpu_utilization_ratio{device="gpu:0"}`)).toBe(0.42);
  const of = (name: string, device = "gpu:0") => scraper.value(`signet_gpu_${name}{device="${device}"}`);
  expect(await of("temperature_celsius")).toBe(77);
  expect(await of("memory_total_bytes")).toBe(10_000 * 2 ** 20);
  expect(await of("memory_used_bytes")).toBe(3500 * 2 ** 20);
  expect(await of("memory_reserved_bytes")).toBe(4000 * 2 ** 20);
  expect([await of("usable"), await of("usable", "gpu:1:0")]).toEqual([1, 0]);
  expect(await of("memory_used_bytes", "gpu:1:0")).toBeUndefined();
  const peak = `signet_service_gpu_memory_peak_bytes{service="ocr",version="1"}`;
  await expect.poll(() => scraper.value(peak)).toBe(3000 * 2 ** 20);
  const { body } = await new RestClient(host.server.metricsAddress!, null).get("/metrics");
  expect(body.toString()).not.toContain(fakeUuid(0).slice(4));
});

test("a job for a service without a process has it come back", async () => {
  const driver = useFakeDriver({});
  const host = await useServer([onGpu("ocr", 1000)], { defaults: { idleUnloadMs: 200 } }, undefined, driver.root);
  const runner = runnerOf(host, "ocr");
  await expect.poll(() => [runner.state, runner.pid]).toEqual(["idle", undefined]);
  const client = useBareClient(host.server.address, host.token);
  expect(await client.call("ModelReady", { name: "ocr" })).toMatchObject({ ready: true });
  expect(await client.call("ServerReady")).toMatchObject({ ready: true });
  const jobs = useJobClient(host.server.address, host.token);
  const [job] = await jobs.submit({ request: faultyRequest("device", 1, "ocr") });
  expect(await jobs.ended(job!.job_id)).toMatchObject({ state: "JOB_STATE_SUCCEEDED", attempts: 1 });
});

test("a renewed license's service takes over beside the old one, where there is room for both", async () => {
  const driver = useFakeDriver({});
  const host = await useServer([onGpu("ocr", 30_000)], {}, undefined, driver.root);
  const before = runnerOf(host, "ocr");
  await host.renew([{ ...onGpu("ocr", 20_000), version: "2" }]);
  await host.server.checkLicense();
  expect(host.server.services.map(({ conf }) => conf.version)).toEqual(["2"]);
  expect(runnerOf(host, "ocr").state).toBe("ready");
  await expect.poll(() => before.devices).toEqual([]);
});

test(
  "neither the log nor a status tells the serial number of a card",
  attack("reads serial numbers of GPUs", "the log, the status, the errors of a server with GPUs"),
  async () => {
    const driver = useFakeDriver({}, {});
    const host = await useServer([onGpu("ocr", 50_000), onGpu("huge", 100_000)], {}, undefined, driver.root);
    driver.set([{ code: 15 }, { usedMiB: 3000, temperatureC: 61 }]);
    await expect.poll(() => host.log.some(({ device }) => device === "gpu:0"), { timeout: 20_000 }).toBe(true);
    const { token } = await addToken(host.data.accessFile, {
      ...{ name: "admin", role: "admin", services: "all", expires: null },
    });
    const admin = new AdminClient({ server: host.server.address, token: token.reveal(), timeoutMs: 20_000 });
    await expect.poll(() => codeOfAsync(() => admin.status())).toBe("none");
    const status = await admin.status();
    admin.close();
    expect(status.devices).toMatchObject([
      { name: "gpu:0", fault: "the GPU has fallen off the bus" },
      { name: "gpu:1", usedBytes: 3000 * 2 ** 20, temperatureC: 61, fault: "" },
    ]);
    const told = JSON.stringify([host.log, status, runnerOf(host, "huge").lastError?.message]);
    expect(told).toContain("gpu:1");
    for (const uuid of [fakeUuid(0), fakeUuid(1)]) expect(told).not.toContain(uuid.slice(4));
    observed("no serial number in what they say");
  },
);
