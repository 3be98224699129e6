import { connect } from "node:http2";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRunner } from "../../src/engine/index.ts";
import { BareClient, callByHand, failureOf, frame, inferRequestBytes } from "../helpers/bare-client.ts";
import { type DescribedService, faultyService, startLicensedServer } from "../helpers/licensed-host.ts";
import { faultyRequest } from "../helpers/runner.ts";

const one: DescribedService = { ...faultyService, limits: { concurrency: 1 } };
const services = ["queueing", "short-queue", "impatient", "rejecting"].map((name) => ({ ...one, name }));

const INFER = "/inference.GRPCInferenceService/ModelInfer";

let host: Awaited<ReturnType<typeof startLicensedServer>>;
let client: BareClient;
let calls = new AbortController();

beforeAll(async () => {
  host = await startLicensedServer(services, {
    defaults: { slotMiB: 1, cancelGraceMs: 60_000 },
    services: {
      rejecting: { admission: "reject" },
      "short-queue": { maxQueue: 1 },
      impatient: { queueTimeoutMs: 50 },
    },
  });
  client = new BareClient(host.server.address, host.token);
});

afterEach(async () => {
  calls.abort();
  calls = new AbortController();
  for (const { runner } of host.server.services) await expect.poll(() => runner.running + runner.queued).toBe(0);
});

afterAll(async () => {
  client?.close();
  await host?.end();
});

function runnerOf(service: string): ServiceRunner {
  return host.server.services.find(({ conf }) => conf.name === service)!.runner;
}

/** A job that runs until it is told to stop, as every call of a test is at its end. */
async function startEndless(service: string): Promise<{ end(): void; ended: Promise<unknown> }> {
  const controller = new AbortController();
  calls.signal.addEventListener("abort", () => controller.abort());
  const ended = client.infer(faultyRequest("wait", 3_600_000, service), { signal: controller.signal }).catch((e) => e);
  await expect.poll(() => runnerOf(service).running).toBe(1);
  return { end: () => controller.abort(), ended };
}

function infer(service: string, parameters: object = {}) {
  return client.infer({ ...faultyRequest("ok", 1, service), parameters: { ...parameters } }, { signal: calls.signal });
}

describe("a call that nobody waits for any more", () => {
  // With a grace period of a minute, only a plugin that was told to stop can have stopped, in the same process.
  test("because the client cancelled it ends in the plugin, whose process lives on", async () => {
    const { pid } = runnerOf("queueing");
    const running = await startEndless("queueing");
    running.end();
    await running.ended;
    await expect.poll(() => runnerOf("queueing").running).toBe(0);
    await infer("queueing");
    expect(runnerOf("queueing").pid).toBe(pid);
  });

  test("because its connection broke ends in the plugin", async () => {
    const { pid } = runnerOf("queueing");
    const session = connect(`http://${host.server.address}`).on("error", () => {});
    const headers = { ":method": "POST", ":path": INFER, "content-type": "application/grpc", te: "trailers" };
    const stream = session.request({ ...headers, authorization: `Bearer ${host.token}` }).on("error", () => {});
    stream.end(frame(inferRequestBytes(faultyRequest("wait", 3_600_000, "queueing"))));
    await expect.poll(() => runnerOf("queueing").running).toBe(1);
    session.destroy();
    await expect.poll(() => runnerOf("queueing").running).toBe(0);
    expect(runnerOf("queueing").pid).toBe(pid);
  });

  test("because its deadline passed ends in the plugin, and the server says so itself", async () => {
    const { pid } = runnerOf("queueing");
    const request = frame(inferRequestBytes(faultyRequest("wait", 3_600_000, "queueing")));
    const headers = { authorization: `Bearer ${host.token}`, "grpc-timeout": "200m" };
    const failure = await callByHand(host.server.address, INFER, request, headers);
    expect(failure.status).toBe("DEADLINE_EXCEEDED");
    await expect.poll(() => runnerOf("queueing").running).toBe(0);
    expect(runnerOf("queueing").pid).toBe(pid);
  });

  test("while it waits in the queue leaves it and is not run", async () => {
    await startEndless("queueing");
    const waiting = new AbortController();
    const call = client.infer(faultyRequest("ok", 1, "queueing"), { signal: waiting.signal });
    await expect.poll(() => runnerOf("queueing").queued).toBe(1);
    waiting.abort();
    expect(await failureOf(call)).toMatchObject({ status: "CANCELLED" });
    await expect.poll(() => runnerOf("queueing").queued).toBe(0);
  });
});

describe("a call that must wait", () => {
  test("goes in order of priority: 1 first, larger numbers later, none where 100 would be", async () => {
    const running = await startEndless("queueing");
    const order: (number | "none")[] = [];
    const waiting = ([200, "none", 5, 1, 2] as const).map(async (priority, index) => {
      // One after the other, so that the order of arrival is known.
      await expect.poll(() => runnerOf("queueing").queued).toBe(index);
      const parameters = priority === "none" ? {} : { priority: { uint64_param: priority } };
      // Each runs for a moment, because answers that are sent at the same time come in the order of their streams.
      const request = { ...faultyRequest("sleep", 10, "queueing"), parameters };
      await client.infer(request, { signal: calls.signal });
      order.push(priority);
    });
    await expect.poll(() => runnerOf("queueing").queued).toBe(5);
    running.end();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 5, "none", 200]);
  });

  test("waits no longer than it says, in microseconds", async () => {
    const running = await startEndless("queueing");
    const call = infer("queueing", { timeout: { int64_param: 50_000 } });
    expect(await failureOf(call)).toEqual({ status: "DEADLINE_EXCEEDED", code: "DEADLINE_EXCEEDED" });
    expect(runnerOf("queueing").running).toBe(1);
    running.end();
    await running.ended;
  });

  test("waits no longer than the configuration says, whatever it says itself", async () => {
    await startEndless("impatient");
    for (const parameters of [{}, { timeout: { int64_param: 3_600_000_000 } }]) {
      const call = infer("impatient", parameters);
      expect(await failureOf(call)).toEqual({ status: "DEADLINE_EXCEEDED", code: "DEADLINE_EXCEEDED" });
    }
  });

  test("is refused at once by a service whose admission is reject", async () => {
    await startEndless("rejecting");
    expect(await failureOf(infer("rejecting"))).toEqual({ status: "RESOURCE_EXHAUSTED", code: "SERVICE_BUSY" });
    expect(runnerOf("rejecting").queued).toBe(0);
    await infer("queueing");
  });

  test("is refused where as many wait as may", async () => {
    await startEndless("short-queue");
    const first = infer("short-queue").catch(() => {});
    await expect.poll(() => runnerOf("short-queue").queued).toBe(1);
    expect(await failureOf(infer("short-queue"))).toEqual({ status: "RESOURCE_EXHAUSTED", code: "QUEUE_FULL" });
    calls.abort();
    await first;
  });
});

describe("a call that the plugin fails", () => {
  test.each([
    ["fail", "INTERNAL", "PLUGIN_FAILED"],
    ["no such mode", "INVALID_ARGUMENT", "REQUEST_MALFORMED"],
    ["grow", "RESOURCE_EXHAUSTED", "OUTPUT_TOO_LARGE"],
    ["exit", "UNAVAILABLE", "SERVICE_CRASHED"],
  ])("by %s is %s with the code %s, and the next one is answered", async (mode, status, code) => {
    expect(await failureOf(client.infer(faultyRequest(mode, 10_000_000, "queueing")))).toEqual({ status, code });
    await infer("queueing");
  });
});
