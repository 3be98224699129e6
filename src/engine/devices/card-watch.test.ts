import { describe, expect, onTestFinished, test, vi } from "vitest";
import { fakePartitionUuid, fakeUuid, useFakeDriver } from "../../../test/helpers/fake-driver.ts";
import { useSystemRoot } from "../../../test/helpers/nvml.ts";
import { CardWatch, type CardWatchOptions } from "./card-watch.ts";

function useWatch(options: CardWatchOptions): CardWatch {
  const watch = new CardWatch(options);
  onTestFinished(() => watch.close());
  return watch;
}

const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("one process reads the cards again and again, as they are then", async () => {
  const driver = useFakeDriver({ usedMiB: 512 }, { totalMiB: 24_576 });
  const watch = useWatch(driver);
  const first = await watch.read();
  expect(first).toMatchObject({ driverVersion: "550.54.15", reason: null });
  expect(first.cards[0]).toEqual({
    index: 0,
    uuid: fakeUuid(0),
    name: "NVIDIA H100 80GB HBM3",
    memory: { totalBytes: 81_920 * 2 ** 20, usedBytes: 512 * 2 ** 20, freeBytes: 81_408 * 2 ** 20 },
    utilizationPercent: 0,
    temperatureC: 40,
    mig: "off",
    partitions: [],
    processes: [],
    fault: null,
  });
  const { pid } = watch;
  driver.set([{ usedMiB: 40_960, utilizationPercent: 97, temperatureC: 81, processes: { 4711: 300, 4712: null } }]);
  const { cards } = await watch.read();
  expect(cards).toHaveLength(1);
  expect(cards[0]).toMatchObject({ utilizationPercent: 97, temperatureC: 81, memory: { usedBytes: 40_960 * 2 ** 20 } });
  expect(cards[0]!.processes).toEqual([
    { pid: 4711, bytes: 300 * 2 ** 20 },
    { pid: 4712, bytes: null },
  ]);
  expect(watch.pid).toBe(pid);
});

test("a card that is cut into partitions tells them, and not how busy it is", async () => {
  const driver = useFakeDriver({ partitions: { 0: { totalMiB: 10_240 }, 3: { totalMiB: 20_480, usedMiB: 1 } } });
  const [card] = (await useWatch(driver).read()).cards;
  expect(card).toMatchObject({ mig: "on", utilizationPercent: null, temperatureC: 40 });
  expect(card!.partitions.map(({ index, uuid, memory }) => [index, uuid, memory.totalBytes / 2 ** 20])).toEqual([
    [0, fakePartitionUuid(0, 0), 10_240],
    [3, fakePartitionUuid(0, 3), 20_480],
  ]);
});

describe("a driver in trouble", () => {
  test("that lost a card or keeps it from this user tells the others", async () => {
    const driver = useFakeDriver({}, {}, {});
    const watch = useWatch(driver);
    await watch.read();
    driver.set([{}, { code: 15 }, { code: 4 }]);
    const { cards } = await watch.read();
    expect(cards.map(({ fault }) => fault)).toEqual([null, "the GPU has fallen off the bus", "this user may not"]);
  });

  test("that hangs is given up, and asked by another process when it is well again", async () => {
    const driver = useFakeDriver({});
    const watch = useWatch({ ...driver, timeoutMs: 3000 });
    await watch.read();
    const pid = watch.pid!;
    driver.set([{}], "hang nvmlDeviceGetMemoryInfo");
    expect(await watch.read()).toMatchObject({ cards: [], reason: expect.stringMatching(/did not answer within 3 s/) });
    await expect.poll(() => isRunning(pid)).toBe(false);
    driver.set([{}]);
    await expect.poll(async () => (await watch.read()).cards.length).toBe(1);
    expect(watch.pid).not.toBe(pid);
  });

  test("whose library ends the process costs that reading only", async () => {
    const watch = useWatch(useFakeDriver({}));
    await watch.read();
    const pid = watch.pid!;
    process.kill(pid, "SIGSTOP"); // so that it is killed while somebody waits for its answer
    const reading = watch.read();
    process.kill(pid, "SIGKILL");
    expect(await reading).toMatchObject({ cards: [], reason: expect.stringMatching(/ended .* by SIGKILL/) });
    expect((await watch.read()).cards).toHaveLength(1);
  });

  test("that does not start is a reason, until it does", async () => {
    const driver = useFakeDriver({});
    driver.set([{}], "init 9");
    const watch = useWatch(driver);
    expect(await watch.read()).toMatchObject({ cards: [], reason: expect.stringMatching(/driver is not loaded/) });
    driver.set([{}]);
    await expect.poll(async () => (await watch.read()).cards.length).toBe(1);
  });
});

test("without a driver no process is started", async () => {
  const watch = useWatch({ root: useSystemRoot() });
  expect(await watch.read()).toMatchObject({ cards: [], reason: expect.stringMatching(/no NVIDIA driver/) });
  expect(watch.pid).toBeUndefined();
});

test("the driver is asked without what the gateway's environment would bring in", async () => {
  vi.stubEnv("NODE_OPTIONS", "--no-such-option");
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  expect((await useWatch(useFakeDriver({})).read()).reason).toBeNull();
});

test("the process ends with the watch", async () => {
  const watch = useWatch(useFakeDriver({}));
  await watch.read();
  const pid = watch.pid!;
  watch.close();
  await expect.poll(() => isRunning(pid)).toBe(false);
  expect(await watch.read()).toMatchObject({ cards: [] });
});
