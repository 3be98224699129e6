import { availableParallelism } from "node:os";
import { describe, expect, test } from "vitest";
import { fakePartitionUuid, fakeUuid } from "../../../test/helpers/fake-driver.ts";
import { onGpus, usePlacedHost } from "./placer.fixture.ts";

const OFF_THE_BUS = 15;

describe("services on several cards", () => {
  test("are spread over them, the least crowded first, and each process is shown its own", async () => {
    const { reserve } = await usePlacedHost([{}, {}, {}]);
    const names = ["a", "b", "c", "d"];
    const placed = await Promise.all(names.map((name) => reserve(name, onGpus(10_000))));
    expect(placed.slice(0, 3).map(({ devices }) => devices)).toEqual([["gpu:0"], ["gpu:1"], ["gpu:2"]]);
    expect(placed[3]!.devices).toHaveLength(1);
    expect(placed[1]!.visibleGpus).toEqual([fakeUuid(1)]);
  });

  test("take as many cards as they need, or wait for all of them", async () => {
    const { reserve } = await usePlacedHost([{}, {}, {}]);
    const pair = await reserve("pair", onGpus(70_000, 2));
    expect(pair.devices).toEqual(["gpu:0", "gpu:1"]);
    const other = await reserve("other", onGpus(20_000, 2));
    expect(other.explanation).toMatch(/^waiting for 19.5 GiB on gpu:[01], held by pair$/);
    await pair.release();
    expect(await other.granted).toBe(true);
    expect(other.devices).toHaveLength(2);
  });

  test("never have more of a card promised than it has, however many ask at the same time", async () => {
    const { reserve, store } = await usePlacedHost([{ totalMiB: 1000 }, { totalMiB: 1000 }]);
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => reserve(`s${index}`, onGpus(300))));
    const held = all.filter(({ placement }) => placement !== undefined);
    expect(held).toHaveLength(6);
    const free = (await store.free("here")).filter(({ device }) => device !== "cpu");
    expect(free.map(({ memoryBytes }) => memoryBytes / 2 ** 20)).toEqual([100, 100]);
    await Promise.all(held.slice(0, 2).map((each) => each.release()));
    const others = all.filter((each) => !held.includes(each));
    await expect.poll(() => others.filter(({ placement }) => placement !== undefined).length).toBe(2);
  });
});

describe("a service that does not fit", () => {
  test("waits, says for what and by whom it is held, and starts when that is released", async () => {
    const { reserve, news } = await usePlacedHost([{}]);
    const ocr = await reserve("ocr", onGpus(79_000));
    const late = await reserve("late", onGpus(3175));
    expect(late.explanation).toBe("waiting for 3.1 GiB on gpu:0, held by ocr");
    expect(news).toContainEqual({ type: "waiting", service: "late", explanation: late.explanation });
    await ocr.release();
    expect(await late.granted).toBe(true);
    expect(late.explanation).toBeUndefined();
    expect(late.devices).toEqual(["gpu:0"]);
  });

  test("lets others pass that do", async () => {
    const { reserve } = await usePlacedHost([{ totalMiB: 1000 }]);
    await reserve("first", onGpus(600));
    expect((await reserve("large", onGpus(500))).placement).toBeUndefined();
    expect((await reserve("small", onGpus(400))).devices).toEqual(["gpu:0"]);
  });

  test("is told where it never will", async () => {
    const { reserve } = await usePlacedHost([{ totalMiB: 10_240 }, {}]);
    expect((await reserve("huge", onGpus(90_112))).explanation).toBe(
      "waiting for a GPU with 88 GiB, and this host has 0 of 2 (the largest has 80 GiB)",
    );
    expect((await reserve("many", onGpus(1024, 3))).explanation).toMatch(/3 GPUs with 1 GiB, and this host has 2 of 2/);
  });

  test("and that nobody wants any more gets nothing when there is room", async () => {
    const { reserve, store } = await usePlacedHost([{}]);
    const ocr = await reserve("ocr", onGpus(80_000));
    const late = await reserve("late", onGpus(80_000));
    await late.release();
    expect(await late.granted).toBe(false);
    await ocr.release();
    expect((await reserve("next", onGpus(80_000))).devices).toEqual(["gpu:0"]);
    expect((await store.free("here")).find(({ device }) => device === "gpu:0")!.memoryBytes).toBe(1920 * 2 ** 20);
  });

  test("asks for the place of one that nobody uses", async () => {
    const { reserve } = await usePlacedHost([{}]);
    let release = () => {};
    const asked: string[] = [];
    const idle = await reserve("idle", onGpus(70_000), () => {
      asked.push("idle");
      release();
      return true;
    });
    release = () => void idle.release();
    const needed = await reserve("needed", onGpus(20_000));
    expect(await needed.granted).toBe(true);
    expect(asked).toEqual(["idle"]);
  });
});

describe("what is measured", () => {
  test("keeps services from a card that another program uses, until it does no more", async () => {
    const foreign = { usedMiB: 60_000, processes: { 99999999: 60_000 } };
    const { reserve, driver } = await usePlacedHost([foreign]);
    const ocr = await reserve("ocr", onGpus(30_000));
    expect(ocr.explanation).toBe("waiting for 29.3 GiB on gpu:0, used by other programs, 21.4 GiB free");
    driver.set([{ usedMiB: 500 }]);
    expect(await ocr.granted).toBe(true);
  });

  test("does not hold our own use against us, whether the driver shows whose it is or not", async () => {
    const { reserve, driver } = await usePlacedHost([{}]);
    await reserve("one", onGpus(40_000));
    driver.set([{ usedMiB: 38_000 }]); // a container's driver shows no processes
    expect((await reserve("two", onGpus(35_000))).devices).toEqual(["gpu:0"]);
  });

  test("sends services to the card that is free of others", async () => {
    const { reserve } = await usePlacedHost([{ usedMiB: 70_000, processes: { 99999999: 70_000 } }, {}]);
    expect((await reserve("one", onGpus(20_000))).devices).toEqual(["gpu:1"]);
    expect((await reserve("two", onGpus(20_000))).devices).toEqual(["gpu:1"]);
  });
});

describe("cards that change", () => {
  test("one that fell off the bus gets nothing, and who has it is told", async () => {
    const { reserve, driver, placer, news } = await usePlacedHost([{}, {}]);
    const first = await reserve("first", onGpus(1000));
    driver.set([{ code: OFF_THE_BUS }, {}]);
    await expect.poll(() => placer.faultOf(first)).toBe("gpu:0: the GPU has fallen off the bus");
    expect((await reserve("second", onGpus(1000))).devices).toEqual(["gpu:1"]);
    expect((await reserve("third", onGpus(81_000))).explanation).toMatch(/on gpu:1, held by second/);
    expect(news).toContainEqual({ type: "device", device: "gpu:0", fault: "the GPU has fallen off the bus" });
  });

  test("a driver that hangs lets services wait, and is asked again", async () => {
    const { reserve, driver } = await usePlacedHost([{}]);
    driver.set([{}], "hang nvmlDeviceGetMemoryInfo");
    const waiting = await reserve("ocr", onGpus(1000));
    const host = await reserve("host", { cores: 1 });
    expect(host.placement).toBeDefined();
    driver.set([{}]);
    expect(await waiting.granted).toBe(true);
  });

  test("partitions are devices of their own: the smallest that does, and one for a process", async () => {
    const partitions = { 0: { totalMiB: 40_000 }, 1: { totalMiB: 10_000 } };
    const { reserve, driver, placer } = await usePlacedHost([{ partitions }, {}]);
    const small = await reserve("small", onGpus(9000));
    expect([small.devices, small.visibleGpus]).toEqual([["gpu:0:1"], [fakePartitionUuid(0, 1)]]);
    expect((await reserve("middle", onGpus(30_000))).devices).toEqual(["gpu:0:0"]);
    expect((await reserve("large", onGpus(50_000))).devices).toEqual(["gpu:1"]);
    expect((await reserve("pair", onGpus(1000, 2))).explanation).toMatch(/2 GPUs/);
    // Cut anew: what has the number of another is not taken for it.
    driver.set([{ partitions: { 0: { totalMiB: 40_000 }, 2: { totalMiB: 15_000 } } }, {}]);
    const names = () => placer.rooms.filter(({ gpu }) => gpu.fault === null).map(({ gpu }) => gpu.name);
    await expect.poll(names).toEqual(["gpu:0:0", "gpu:1", "gpu:0:2"]);
    expect((await reserve("next", onGpus(12_000))).devices).toEqual(["gpu:0:2"]);
  });
});

describe("without a GPU", () => {
  test("cores and memory of the host are placed in the same way", async () => {
    const { reserve } = await usePlacedHost([]);
    const cores = availableParallelism();
    const all = await reserve("all", { cores, memoryBytes: 2 ** 20 });
    expect(all.devices).toEqual([]);
    const late = await reserve("late", { cores: 1 });
    expect(late.explanation).toBe("waiting for 1 core of cpu, held by all");
    await all.release();
    expect(await late.granted).toBe(true);
    expect((await reserve("vast", { memoryBytes: 2 ** 50 })).explanation).toMatch(/1048576 GiB of memory, more than/);
  });

  test("a service that needs one waits, and why there is none is said", async () => {
    const { reserve } = await usePlacedHost([]);
    expect((await reserve("ocr", onGpus(1))).explanation).toMatch(/a GPU with 1 MiB, and there is none: .*no GPU/);
  });

  test("two versions of a service may stand beside each other while one takes over", async () => {
    const { reserve } = await usePlacedHost([]);
    const [old, next] = [await reserve("ocr", { cores: 1 }), await reserve("ocr", { cores: 1 })];
    expect([old.slot, next.slot]).toEqual([0, 1]);
    await old.release();
    expect((await reserve("ocr", { cores: 1 })).slot).toBe(0);
  });
});

test("what processes use at most is kept beside what they declare, and too much of it is told", async () => {
  const { placer, driver, news } = await usePlacedHost([{}]);
  const needs = { gpus: 1, gpuMemoryBytes: 1000 * 2 ** 20, cores: 0, memoryBytes: 0 };
  const reservation = placer.reserve("ocr", needs, { pid: 4711, memoryBytes: 5_000_000 });
  await reservation.granted;
  driver.set([{ usedMiB: 900, processes: { 4711: 900 } }]);
  await expect.poll(() => placer.peakUseOf("ocr")?.gpuMemoryBytes).toBe(900 * 2 ** 20);
  driver.set([{ usedMiB: 1200, processes: { 4711: 1200 } }]);
  await expect.poll(() => placer.peakUseOf("ocr")?.gpuMemoryBytes).toBe(1200 * 2 ** 20);
  expect(news.filter(({ type }) => type === "overuse")).toHaveLength(1);
  driver.set([{ usedMiB: 10, processes: { 4711: 10 } }]);
  expect(placer.peakUseOf("ocr")).toEqual({ memoryBytes: 5_000_000, gpuMemoryBytes: 1200 * 2 ** 20 });
});
