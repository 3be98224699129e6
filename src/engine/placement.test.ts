import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fakeUuid } from "../../test/helpers/fake-driver.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, faultyResult, identityJob, useService } from "../../test/helpers/runner.ts";
import type { Needs } from "../store/index.ts";
import { onGpus, type PlacedHost, usePlacedHost } from "./devices/placer.fixture.ts";
import type { ServiceRunner, ServiceRunnerOptions } from "./index.ts";

const OFF_THE_BUS = 15;

function environmentOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
}

/** A faulty service that needs this of the host, under a name of its own. */
async function usePlaced(
  { placer }: PlacedHost,
  name: string,
  needs: Partial<Needs>,
  options: Partial<ServiceRunnerOptions> = {},
): Promise<ServiceRunner> {
  const complete = { gpus: 0, gpuMemoryBytes: 0, cores: 0, memoryBytes: 0, ...needs };
  const placement = { placer, needs: complete };
  const own = { name, placement, isStarted: false, ...options };
  return (await useService(nativeLibrary("faulty"), {}, own)).runner;
}

const deviceOf = async (runner: ServiceRunner) => faultyResult((await runner.submit(faultyJob("device"))).outputs);

describe("a service that needs a GPU", () => {
  test("has its instance made there, and its process is shown no other", async () => {
    const host = await usePlacedHost([{}, {}]);
    await host.reserve("other", onGpus(10_000));
    const runner = await usePlaced(host, "ocr", onGpus(5000));
    expect(await runner.start()).toBeNull();
    expect(runner.devices).toEqual(["gpu:1"]);
    expect(environmentOf(runner.pid!)).toContain(`CUDA_VISIBLE_DEVICES=${fakeUuid(1)}`);
    expect(await deviceOf(runner)).toBe(100);
  });

  test("that needs several is shown them all", async () => {
    const runner = await usePlaced(await usePlacedHost([{}, {}, {}]), "ocr", onGpus(5000, 2));
    await runner.start();
    expect(environmentOf(runner.pid!)).toContain(`CUDA_VISIBLE_DEVICES=${fakeUuid(0)},${fakeUuid(1)}`);
  });

  test("and one that needs none is shown none", async () => {
    const runner = await usePlaced(await usePlacedHost([{}]), "ocr", { cores: 1 });
    await runner.start();
    expect(environmentOf(runner.pid!)).toContain("CUDA_VISIBLE_DEVICES=");
    expect(await deviceOf(runner)).toBe(0);
  });

  test("keeps its card when its process crashes, though another waits for it", async () => {
    const host = await usePlacedHost([{}]);
    const runner = await usePlaced(host, "ocr", onGpus(80_000));
    await runner.start();
    const other = await host.reserve("other", onGpus(80_000));
    await expect(runner.submit(faultyJob("abort"))).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect(await deviceOf(runner)).toBe(100);
    expect(other.placement).toBeUndefined();
  });

  test("goes to another card when its own is lost", async () => {
    const host = await usePlacedHost([{}, {}]);
    const runner = await usePlaced(host, "ocr", onGpus(1000));
    await runner.start();
    expect(runner.devices).toEqual(["gpu:0"]);
    host.driver.set([{ code: OFF_THE_BUS }, {}]);
    await expect.poll(() => host.news).toContainEqual(expect.objectContaining({ device: "gpu:0" }));
    await expect(runner.submit(faultyJob("abort"))).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect(await deviceOf(runner)).toBe(100);
    expect(runner.devices).toEqual(["gpu:1"]);
    expect(environmentOf(runner.pid!)).toContain(`CUDA_VISIBLE_DEVICES=${fakeUuid(1)}`);
  });
});

describe("a service for which there is no room", () => {
  test("waits, and so do its calls, until another is unloaded", async () => {
    const host = await usePlacedHost([{}]);
    const first = await usePlaced(host, "first", onGpus(60_000));
    const second = await usePlaced(host, "second", onGpus(30_000));
    await first.start();
    expect(await second.start()).toMatchObject({ code: "SERVICE_UNPLACED" });
    expect([second.state, second.pid]).toEqual(["waiting", undefined]);
    expect(second.waitingFor).toBe("waiting for 29.3 GiB on gpu:0, held by first");
    const answer = deviceOf(second);
    await first.unload(1000);
    expect(await answer).toBe(100);
    expect(second.waitingFor).toBeUndefined();
    // It is this one's turn to wait.
    expect(await first.load()).toMatchObject({ code: "SERVICE_UNPLACED" });
  });

  test("can be stopped or unloaded while it waits, and gets nothing after that", async () => {
    const host = await usePlacedHost([{}]);
    const holder = await host.reserve("holder", onGpus(80_000));
    const [stopped, unloaded] = [
      await usePlaced(host, "stopped", onGpus(1e4)),
      await usePlaced(host, "unloaded", onGpus(1e4)),
    ];
    await Promise.all([stopped.start(), unloaded.start()]);
    await Promise.all([stopped.stop(0), unloaded.unload(0)]);
    await holder.release();
    const all = await host.reserve("all", onGpus(81_920));
    expect(all.devices).toEqual(["gpu:0"]);
    expect([stopped.pid, unloaded.pid]).toEqual([undefined, undefined]);
  });
});

test("a service that is unloaded and loaded again while its place is looked for has one process", async () => {
  const host = await usePlacedHost([{}]);
  const runner = await usePlaced(host, "ocr", onGpus(80_000));
  const first = runner.start();
  const unloading = runner.unload(0);
  const second = runner.load();
  expect(await first).toMatchObject({ code: "SERVICE_NOT_READY" });
  await unloading;
  expect(await second).toBeNull();
  expect(await deviceOf(runner)).toBe(100);
  await runner.stop(1000);
  expect((await host.reserve("all", onGpus(81_920))).devices).toEqual(["gpu:0"]);
});

describe("a service without a call", () => {
  test("gives its process and its place back, and comes back with the next call", async () => {
    const host = await usePlacedHost([{}]);
    const runner = await usePlaced(host, "ocr", onGpus(80_000), { idleUnloadMs: 300 });
    await runner.start();
    await expect.poll(() => [runner.state, runner.pid]).toEqual(["idle", undefined]);
    const other = await host.reserve("other", onGpus(80_000));
    expect(other.devices).toEqual(["gpu:0"]);
    await other.release();
    expect(runner.isServing).toBe(true);
    expect(await deviceOf(runner)).toBe(100);
  });

  test("keeps it while a job runs, however long", async () => {
    const { runner } = await useService(nativeLibrary("faulty"), {}, { idleUnloadMs: 100 });
    const { pid } = runner;
    await runner.submit(faultyJob("wait", 1000));
    expect(runner.pid).toBe(pid);
  });

  test("answers every call that comes while its process ends", async () => {
    const { runner, events } = await useService(nativeLibrary("identity"), {}, { idleUnloadMs: 4, maxQueue: 1000 });
    const states = () => events.map((event) => (event.type === "state" ? event.state : event.type));
    for (let round = 0; round < 5; round++) {
      const rests = states().filter((state) => state === "idle").length;
      await expect.poll(() => states().filter((state) => state === "idle").length, { interval: 1 }).toBe(rests + 1);
      const bytes = Uint8Array.of(round);
      const answers = await Promise.all(Array.from({ length: 20 }, () => runner.submit(identityJob(bytes))));
      expect(answers.every(({ outputs }) => outputs[0]!.data[0] === round)).toBe(true);
    }
    expect(states()).not.toContain("ended");
  });

  test("gives way to one that needs its place, before its time", async () => {
    const host = await usePlacedHost([{}]);
    const idle = await usePlaced(host, "idle", onGpus(60_000), { idleUnloadMs: 600_000 });
    const busy = await usePlaced(host, "busy", onGpus(15_000));
    const needed = await usePlaced(host, "needed", onGpus(30_000));
    await Promise.all([idle.start(), busy.start()]);
    const job = idle.submit(faultyJob("wait", 1500));
    await needed.start();
    const answer = deviceOf(needed);
    await job; // is not cut short
    expect(await answer).toBe(100);
    expect([idle.state, busy.state]).toEqual(["idle", "ready"]);
  });

  test("can be unloaded, loaded and stopped like any other", async () => {
    const { runner } = await useService(nativeLibrary("identity"), {}, { idleUnloadMs: 50 });
    await expect.poll(() => runner.state).toBe("idle");
    expect(await runner.load()).toBeNull();
    await expect.poll(() => runner.state).toBe("idle");
    await runner.unload(1000);
    await expect(runner.submit(identityJob(Uint8Array.of(1)))).rejects.toMatchObject({ code: "SERVICE_UNLOADED" });
    expect(await runner.load()).toBeNull();
    await runner.stop(1000);
    expect([runner.state, runner.pid]).toEqual(["stopped", undefined]);
  });
});
