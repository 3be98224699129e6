import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { Slots } from "./index.ts";
import type { Rings } from "./rings.ts";
import { TaskBlock } from "./task-block.ts";

const layout = { count: 8, bytes: 4096, inputs: 1, outputs: 1 };

function useSlots(): Slots {
  const slots = Slots.create(layout);
  slots.rings.reset();
  onTestFinished(() => slots.release());
  return slots;
}

function takeAll(rings: Rings): number[] {
  const taken: number[] = [];
  for (let slot = rings.takeCompleted(); slot !== undefined; slot = rings.takeCompleted()) taken.push(slot);
  return taken;
}

test("many jobs through few slots and several threads: each comes back once, with its own answer", async () => {
  const slots = Slots.create(layout);
  slots.rings.reset();
  const workers = Array.from(
    { length: 3 },
    () =>
      new Worker(new URL("./rings.fixture.ts", import.meta.url), {
        workerData: { fd: slots.fd, layout: slots.layout },
      }),
  );
  const jobs = 20_000;
  const free = Array.from({ length: layout.count }, (_, slot) => slot);
  const bytesOf = new Map<number, number>();
  let submitted = 0;
  let answered = 0;
  while (answered < jobs) {
    while (free.length > 0 && submitted < jobs) {
      const slot = free.pop()!;
      const bytes = submitted++ % 4096;
      bytesOf.set(slot, bytes);
      slots.task(slot).write([{ shape: [bytes], offset: 0, bytes }], 0);
      slots.rings.submit(slot);
    }
    slots.rings.wake(submitted % 4);
    for (const slot of takeAll(slots.rings)) {
      const bytes = bytesOf.get(slot);
      expect(bytesOf.delete(slot)).toBe(true);
      expect(slots.task(slot).readReply()).toEqual({
        ok: true,
        runUs: 1,
        outputs: [{ dtype: 2, shape: [bytes], offset: 0, bytes }],
      });
      free.push(slot);
      answered++;
    }
    await new Promise(setImmediate);
  }
  expect(takeAll(slots.rings)).toEqual([]);
  const ended = workers.map((worker) => once(worker, "exit"));
  for (const _ of workers) slots.rings.submit(layout.count);
  slots.rings.wake(workers.length);
  await Promise.all(ended);
});

test("who completes a job wakes a gateway that sleeps, and only once", () => {
  const { rings } = useSlots();
  for (const slot of [3, 1, 2]) rings.submit(slot);
  expect([rings.take(), rings.take(), rings.take()]).toEqual([3, 1, 2]);
  rings.complete(1);
  rings.complete(3);
  expect([rings.mustWakeGateway(), rings.mustWakeGateway()]).toEqual([true, false]);
  expect(takeAll(rings)).toEqual([1, 3]);
  rings.sleep();
  rings.complete(2);
  expect(rings.mustWakeGateway()).toBe(true);
});

test("how many no thread has taken is known", () => {
  const { rings } = useSlots();
  for (const slot of [5, 6]) rings.submit(slot);
  expect(rings.untaken).toBe(2);
  expect(rings.tryTake()).toBe(5);
  expect(rings.untaken).toBe(1);
  expect([rings.tryTake(), rings.tryTake(), rings.untaken]).toEqual([6, -1, 0]);
});

test("a task is the thread's that claims it, or the gateway's that takes it back, and never both's", () => {
  const task = useSlots().task(0);
  task.write([], 0);
  expect([task.claim(), task.recall(), task.claim()]).toEqual([true, false, false]);
  task.write([], 0);
  expect([task.recall(), task.claim(), task.recall()]).toEqual([true, false, false]);
});

test("what another process wrote into the ring comes out as it is, and ends", () => {
  const { rings } = useSlots();
  for (let i = 0; i < 300; i++) rings.complete(1_000_000 + i);
  const taken = takeAll(rings);
  expect(taken.length).toBeLessThanOrEqual(256);
  expect(taken.every((slot) => slot >= 1_000_000)).toBe(true);
});

test("a message that is too long is cut", () => {
  const task = useSlots().task(0);
  task.fail("plugin", 13, "x".repeat(10_000));
  expect(task.readReply()).toMatchObject({ ok: false, reason: "plugin", status: 13, message: "x".repeat(2048) });
});

test.each([Number.NaN, -1, 5, 0.5, Number.POSITIVE_INFINITY])("an outcome of %d is no reply", (outcome) => {
  const memory = new Uint8Array(TaskBlock.bytes(1, 1));
  new Float64Array(memory.buffer, 0, 2)[1] = outcome;
  expect(new TaskBlock(memory, 1, 1).readReply()).toBeNull();
});
