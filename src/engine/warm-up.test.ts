import { expect, test } from "vitest";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, faultyResult, useService } from "../../test/helpers/runner.ts";
import type { ServiceEvent, WarmUpRequest } from "./index.ts";

const faulty = nativeLibrary("faulty");

function request(mode: string, amount = 1, count = 1): WarmUpRequest {
  return { name: `${mode} ${amount}`, count, inputs: faultyJob(mode, amount).inputs };
}

/** What happened to the service, in a word each. */
function story(events: readonly ServiceEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.type === "output") return [];
    return [event.type === "state" ? event.state : event.error.code];
  });
}

test("a service is ready when its warm-up has run, and jobs wait until then", async () => {
  const warmed = Promise.withResolvers<WarmUpRequest[]>();
  const { runner, events } = await useService(faulty, {}, { warmUp: () => warmed.promise, isStarted: false });
  const starting = runner.start();
  const job = runner.submit(faultyJob("ok", 7));
  await expect.poll(() => runner.pid).toBeDefined();
  expect(runner.state).toBe("starting");
  expect(runner.queued).toBe(1);
  warmed.resolve([request("ok"), request("leak", 16, 5)]);
  expect(await starting).toBeNull();
  expect(runner.state).toBe("ready");
  expect(runner.memoryBytes).toBeGreaterThan(5 * 16 * 2 ** 20);
  expect(faultyResult((await job).outputs)).toBe(7);
  expect(story(events)).toEqual(["starting", "ready"]);
});

test.each<[string, WarmUpRequest[], RegExp, number?]>([
  [
    "that fails in the plugin",
    [request("ok"), request("fail", 3), request("ok", 2)],
    /warmup "fail 3".*as it was asked/,
  ],
  ["that crashes the plugin", [request("segv", 3)], /warmup "segv 3".*SIGSEGV/],
  ["that takes for ever", [request("loop", 3)], /warmup "loop 3".*not done after 15000 ms/, 15_000],
  ["with outputs that lie", [request("lie-shape", 3)], /warmup "lie-shape 3"/],
])(
  "a warm-up %s keeps the service from being ready, and is named",
  async (_, requests, message, startTimeoutMs = 60_000) => {
    const { runner, events } = await useService(
      faulty,
      {},
      { warmUp: async () => requests, isStarted: false, startTimeoutMs },
    );
    const failure = await runner.start();
    expect(failure).toMatchObject({ code: "WARM_UP_FAILED", message: expect.stringMatching(message) });
    expect(story(events).slice(0, 3)).toEqual(["starting", "WARM_UP_FAILED", "backing-off"]);
    expect(runner.lastError).toMatchObject({ code: "WARM_UP_FAILED", message: expect.stringMatching(message) });
  },
);

test("a process that follows another is warmed up too, and one whose warm-up cannot be prepared is tried again", async () => {
  let times = 0;
  const { runner, events } = await useService(
    faulty,
    {},
    {
      warmUp: async () => {
        times++;
        if (times === 2) throw new Error("no such file");
        return [request("ok")];
      },
    },
  );
  await expect(runner.submit(faultyJob("segv"))).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
  expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
  expect(times).toBe(3);
  const process = ["starting", "ready", "SERVICE_CRASHED", "backing-off"];
  expect(story(events)).toEqual([...process, "starting", "WARM_UP_FAILED", "backing-off", "starting", "ready"]);
});

test("a service that is stopped while it warms up ends", async () => {
  const { runner } = await useService(
    faulty,
    {},
    { warmUp: async () => [request("wait", 3_600_000)], isStarted: false },
  );
  const starting = runner.start();
  await expect.poll(() => runner.pid).toBeDefined();
  await runner.stop(0);
  expect(await starting).not.toBeNull();
  expect(runner.state).toBe("stopped");
});
