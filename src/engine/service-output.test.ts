import { expect, test } from "vitest";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, useService } from "../../test/helpers/runner.ts";
import type { ServiceEvent } from "./service-state.ts";

const faulty = nativeLibrary("faulty");

/** What was printed, with the jobs it may be of. */
function printed(events: readonly ServiceEvent[]): Record<string, readonly string[]> {
  return Object.fromEntries(events.flatMap((event) => (event.type === "output" ? [[event.line, event.jobs]] : [])));
}

test("a line has the stream and the process it came from, and the one job that ran", async () => {
  const { runner, events } = await useService(faulty, {});
  for (const number of [1, 2, 3]) await runner.submit(faultyJob("tell", number, { id: `j${number}` }));
  await expect.poll(() => Object.keys(printed(events))).toHaveLength(6);
  expect(printed(events)).toEqual({
    "begin 1": ["j1"],
    "end 1": ["j1"],
    "begin 2": ["j2"],
    "end 2": ["j2"],
    "begin 3": ["j3"],
    "end 3": ["j3"],
  });
  expect(events.filter(({ type }) => type === "output").slice(0, 2)).toMatchObject([
    { stream: "stdout", pid: runner.pid, dropped: 0 },
    { stream: "stderr", pid: runner.pid, dropped: 0 },
  ]);
});

test("of jobs that wait for one another each line has its own", async () => {
  const { runner, events } = await useService(faulty, {});
  const numbers = [1, 2, 3, 4, 5];
  await Promise.all(numbers.map((number) => runner.submit(faultyJob("tell", number, { id: `j${number}` }))));
  await expect.poll(() => Object.keys(printed(events))).toHaveLength(10);
  for (const number of numbers) {
    const { [`begin ${number}`]: begin, [`end ${number}`]: end } = printed(events);
    expect(begin).toContain(`j${number}`);
    expect(end).toContain(`j${number}`);
  }
});

test("of jobs that run side by side a line has all of them", async () => {
  const { runner, events } = await useService(faulty, {}, { concurrency: 2 });
  await Promise.all([
    runner.submit(faultyJob("wait", 300, { id: "long" })),
    runner.submit(faultyJob("tell", 1, { id: "short" })),
  ]);
  expect(new Set(printed(events)["end 1"])).toEqual(new Set(["long", "short"]));
});

test("what a process prints before it has a job is nobody's", async () => {
  const { runner, events } = await useService(faulty, {});
  await runner.submit(faultyJob("tell", 1));
  await expect.poll(() => Object.keys(printed(events))).toHaveLength(2);
  expect(printed(events)["begin 1"]).toEqual([]);
});
