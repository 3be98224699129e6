import { beforeEach, describe, expect, test } from "vitest";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { descendantsOf, isAlive } from "../../test/helpers/processes.ts";
import { faultyJob, faultyResult, freeOfCharge, useService } from "../../test/helpers/runner.ts";
import { skipWithout } from "../../test/helpers/sandboxes.ts";
import type { ServiceEvent } from "./index.ts";

/** What is watched of a service's process holds with the two of bubblewrap in between. */

const faulty = nativeLibrary("faulty");
const bwrap = { sandbox: "bwrap" } as const;

const messages = (events: readonly ServiceEvent[]) =>
  events.filter((event) => event.type === "ended").map(({ error }) => error.message);

/** The two processes in between and the one that runs the plugin, of the one service that runs here. */
function lineageOf(inside: number): readonly number[] {
  const lineage = descendantsOf(process.pid).slice(-3);
  expect(lineage.at(-1)).toBe(inside);
  return lineage;
}

describe("sandbox: bwrap", () => {
  beforeEach((context) => skipWithout("bwrap", context));

  test.each([
    ["segv", 1, "SERVICE_CRASHED", "ended by SIGSEGV"],
    ["abort", 1, "SERVICE_CRASHED", "ended by SIGABRT"],
    ["fpe", 1, "SERVICE_CRASHED", "ended by SIGFPE"],
    ["exit", 0, "SERVICE_CRASHED", "ended with exit status 0"],
    ["exit", 42, "SERVICE_CRASHED", "ended with exit status 42"],
    ["lie-size", 1, "SERVICE_PROTOCOL", "in room for"],
  ])("%s(%i) fails that job with %s: %s, and the next one succeeds", async (mode, amount, code, how) => {
    const { runner, events } = await useService(faulty, {}, bwrap);
    await expect(runner.submit(faultyJob(mode, amount))).rejects.toMatchObject({ code });
    expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
    expect(messages(events)).toEqual([expect.stringContaining(how)]);
  });

  test("an endless loop is ended at the job's run limit, with every process of the sandbox", async () => {
    const { runner, events } = await useService(faulty, {}, { ...bwrap, cancelGraceMs: 100 });
    const inside = runner.pid!;
    const lineage = lineageOf(inside);
    const looping = runner.submit(faultyJob("loop", 1, { runLimitMs: 200 }));
    const next = runner.submit(faultyJob("ok", 5));
    await expect(looping).rejects.toMatchObject({ code: "JOB_TIME_EXCEEDED" });
    expect(faultyResult((await next).outputs)).toBe(5);
    expect(events.filter((event) => event.type === "ended")).toHaveLength(1);
    expect(isAlive(inside)).toBe(false);
    await expect.poll(() => lineage.filter(isAlive)).toEqual([]);
  });

  test("growth beyond the memory limit is seen through the processes in between", async () => {
    const { runner, events } = await useService(faulty, {}, { ...bwrap, memoryLimitBytes: 400 * 2 ** 20 });
    await runner.submit(faultyJob("leak", 500)).catch((error) => expect(error.code).toBe("SERVICE_OUT_OF_MEMORY"));
    await expect.poll(() => events.find((event) => event.type === "ended")?.error.code).toBe("SERVICE_OUT_OF_MEMORY");
    expect(faultyResult((await runner.submit(faultyJob("ok", 3))).outputs)).toBe(3);
  });

  test.each(["fail", "segv", "exit", "loop"])("a plugin whose create does %s is reported", async (create) => {
    const started = useService(faulty, { create }, { ...bwrap, startTimeoutMs: 3_000 });
    await expect(started).rejects.toMatchObject({ code: "SERVICE_START_FAILED" });
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("%s to all of its processes ends no job", async (signal) => {
    const { runner, events } = await useService(faulty, {}, bwrap);
    const lineage = lineageOf(runner.pid!);
    const begun = Promise.withResolvers<void>();
    const begin = () => {
      begun.resolve();
      return freeOfCharge();
    };
    const running = runner.submit(faultyJob("wait", 500, { begin }));
    await begun.promise;
    for (const pid of lineage) process.kill(pid, signal);
    expect(faultyResult((await running).outputs)).toBe(500);
    expect(events.filter((event) => event.type === "ended")).toEqual([]);
  });

  test("a process killed by somebody else is told as that, and replaced", async () => {
    const { runner, events } = await useService(faulty, {}, bwrap);
    process.kill(runner.pid!, "SIGKILL");
    await expect.poll(() => messages(events)).toEqual([expect.stringContaining("ended by SIGKILL")]);
    expect(faultyResult((await runner.submit(faultyJob("ok", 3))).outputs)).toBe(3);
  });
});
