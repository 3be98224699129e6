import { expect, test } from "vitest";
import { codeOfAsync as endOf } from "../../test/helpers/code-of.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, faultyResult, useService } from "../../test/helpers/runner.ts";

const faulty = nativeLibrary("faulty");

test("a process that ended so often in a row is not started again, and calls are told why", async () => {
  const { runner, events } = await useService(faulty, {}, { quarantineAfter: 3 });
  for (let end = 0; end < 3; end++)
    expect(await endOf(() => runner.submit(faultyJob("abort")))).toBe("SERVICE_CRASHED");
  await expect.poll(() => runner.state).toBe("quarantined");
  expect(runner.pid).toBe(undefined);
  expect(await endOf(() => runner.submit(faultyJob("ok")))).toBe("SERVICE_QUARANTINED");
  const ends = events.filter(({ type }) => type === "ended");
  expect(ends).toHaveLength(3);
  expect(ends.at(-1)).toMatchObject({ restartInMs: null });
  expect(events.at(-1)).toMatchObject({
    state: "quarantined",
    reason: { code: "SERVICE_QUARANTINED", message: expect.stringContaining("3 times in a row") },
  });
});

test("a success between them makes it none in a row", async () => {
  const { runner } = await useService(faulty, {}, { quarantineAfter: 2 });
  for (let round = 0; round < 3; round++) {
    expect(await endOf(() => runner.submit(faultyJob("abort")))).toBe("SERVICE_CRASHED");
    await runner.submit(faultyJob("ok"));
  }
  expect([runner.state, runner.endsInARow]).toEqual(["ready", 0]);
});

test("what waits in the queue is told too, and a service that cannot start ends up there by itself", async () => {
  const { runner } = await useService(faulty, { create: "segv" }, { isStarted: false, quarantineAfter: 2 });
  void runner.start();
  const waiting = endOf(() => runner.submit(faultyJob("ok")));
  expect(await waiting).toBe("SERVICE_QUARANTINED");
  expect(runner.lastError?.code).toBe("SERVICE_START_FAILED");
});

test("whoever releases it gets a process, and as many ends as before", async () => {
  const { runner } = await useService(faulty, {}, { quarantineAfter: 1 });
  for (let round = 0; round < 2; round++) {
    expect(await endOf(() => runner.submit(faultyJob("abort")))).toBe("SERVICE_CRASHED");
    await expect.poll(() => runner.state).toBe("quarantined");
    expect(await runner.load()).toBe(null);
    expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
  }
});

test("it can be unloaded, stopped and drained like any other", async () => {
  const { runner } = await useService(faulty, {}, { quarantineAfter: 1 });
  await endOf(() => runner.submit(faultyJob("abort")));
  await expect.poll(() => runner.state).toBe("quarantined");
  await runner.unload(1000);
  expect(runner.state).toBe("unloaded");
  await runner.stop(1000);
  expect(runner.state).toBe("stopped");
});
