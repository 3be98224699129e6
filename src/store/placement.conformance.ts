import { expect, test } from "vitest";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { findContradictions, host, nextLife, otherHost, type StoreUnderTest, useStore } from "./store.fixture.ts";
import type { DeviceFacts, JobOwner, Needs, Placement, Store } from "./store.ts";

const GIB = 2 ** 30;
const devices: readonly DeviceFacts[] = [
  { device: "cpu", memoryBytes: 32 * GIB, cores: 8 },
  { device: "gpu:0", memoryBytes: 24 * GIB, cores: 0 },
  { device: "gpu:1", memoryBytes: 80 * GIB, cores: 0 },
];
const gpus = ["gpu:0", "gpu:1"];
const small: Needs = { gpus: 1, gpuMemoryBytes: 10 * GIB, cores: 1.5, memoryBytes: 4 * GIB };

export function placementConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  async function useHost() {
    const store = await useStore((await useEmpty()).place);
    await store.registerHost(host, devices);
    return store;
  }

  test("an instance takes what it needs of the first GPUs that have room, and gives it back", async () => {
    const store = await useHost();
    const first = await placed(store.reserve(host, "ocr", 0, small, ["gpu:1", "gpu:0"]));
    expect(first.gpus).toEqual(["gpu:1"]);
    expect(await store.free("host-1")).toEqual([
      { device: "cpu", memoryBytes: 28 * GIB, cores: 6.5 },
      { device: "gpu:0", memoryBytes: 24 * GIB, cores: 0 },
      { device: "gpu:1", memoryBytes: 70 * GIB, cores: 0 },
    ]);
    const both = await placed(store.reserve(host, "asr", 0, { ...small, gpus: 2, gpuMemoryBytes: 24 * GIB }, gpus));
    expect(both.gpus).toEqual(gpus);
    expect(await store.release(first.instance, first.fence + 1)).toBe(false);
    expect(await store.release(first.instance, first.fence)).toBe(true);
    expect(await store.release(both.instance, both.fence)).toBe(true);
    expect(await store.release(both.instance, both.fence)).toBe(false);
    expect(await store.free("host-1")).toEqual(devices);
  });

  test("a slot has one instance, on whatever host, and its next one a greater fence", async () => {
    const store = await useHost();
    await store.registerHost(otherHost, devices);
    const first = await placed(store.reserve(host, "ocr", 0, small, gpus));
    for (const owner of [host, otherHost]) {
      await expect(store.reserve(owner, "ocr", 0, small, gpus)).rejects.toMatchObject({ code: "INSTANCE_EXISTS" });
    }
    await placed(store.reserve(otherHost, "ocr", 1, small, gpus));
    await store.release(first.instance, first.fence);
    const second = await placed(store.reserve(otherHost, "ocr", 0, small, gpus));
    expect(second.fence).toBeGreaterThan(first.fence);
  });

  test("what is short is named, with who has it", async () => {
    const store = await useHost();
    await placed(store.reserve(host, "ocr", 0, { ...small, cores: 3, gpuMemoryBytes: 20 * GIB }, gpus));
    await placed(store.reserve(host, "asr", 0, { ...small, cores: 4, gpuMemoryBytes: 75 * GIB }, gpus));
    const { shortages } = (await store.reserve(host, "tts", 0, { ...small, memoryBytes: 30 * GIB }, gpus)) as {
      shortages: readonly unknown[];
    };
    expect(shortages).toEqual([
      {
        ...{ device: "cpu", resource: "cores", needed: 1.5, free: 1 },
        heldBy: [
          { service: "asr", amount: 4 },
          { service: "ocr", amount: 3 },
        ],
      },
      {
        ...{ device: "cpu", resource: "memory", needed: 30 * GIB, free: 24 * GIB },
        heldBy: [
          { service: "asr", amount: 4 * GIB },
          { service: "ocr", amount: 4 * GIB },
        ],
      },
      {
        ...{ device: "gpu:0", resource: "memory", needed: 10 * GIB, free: 4 * GIB },
        heldBy: [{ service: "ocr", amount: 20 * GIB }],
      },
      {
        ...{ device: "gpu:1", resource: "memory", needed: 10 * GIB, free: 5 * GIB },
        heldBy: [{ service: "asr", amount: 75 * GIB }],
      },
    ]);
    const needs = { gpus: 3, gpuMemoryBytes: 0, cores: 0, memoryBytes: 0 };
    expect(await store.reserve(host, "tts", 0, needs, gpus)).toEqual({
      shortages: [{ device: "gpu", resource: "devices", needed: 3, free: 2, heldBy: [] }],
    });
  });

  test("a host that starts again has all its devices to itself, and its earlier life takes nothing", async () => {
    const store = await useHost();
    const { instance, fence } = await placed(store.reserve(host, "ocr", 0, small, gpus));
    await store.registerHost(nextLife, devices.slice(0, 2));
    expect(await store.free("host-1")).toEqual(devices.slice(0, 2));
    expect(await store.release(instance, fence)).toBe(false);
    await expect(store.reserve(host, "ocr", 0, small, gpus)).rejects.toMatchObject({ code: "INTERNAL" });
    await placed(store.reserve(nextLife, "ocr", 0, small, gpus));
  });

  test("devices that the same life names again keep what is reserved", async () => {
    const store = await useHost();
    await placed(store.reserve(host, "ocr", 0, small, gpus));
    const before = await store.free("host-1");
    await store.registerHost(host, [devices[1]!, { device: "gpu:2", memoryBytes: GIB, cores: 0 }]);
    expect(await store.free("host-1")).toEqual([...before, { device: "gpu:2", memoryBytes: GIB, cores: 0 }]);
  });

  test("of those who reserve the last of a device at once, one gets it", async () => {
    const { place } = await useEmpty();
    const stores = await Promise.all([useStore(place), useStore(place)]);
    await stores[0]!.registerHost(host, devices);
    const needs = { ...small, gpuMemoryBytes: 13 * GIB, cores: 0, memoryBytes: 0 };
    const tries = Array.from({ length: 16 }, (_, n) => stores[n % 2]!.reserve(host, `s${n}`, 0, needs, ["gpu:0"]));
    const results = await Promise.all(tries);
    expect(results.filter((result) => "instance" in result)).toHaveLength(1);
  });

  test("random reservations are those of a model, and what is free never differs from what is left", async () => {
    const random = useRandom();
    const empty = await useEmpty();
    const store = await useStore(empty.place);
    await new PlacementModel(store, random).run(300);
    expect(await findContradictions(empty)).toEqual([]);
  });
}

async function placed(reserved: ReturnType<Store["reserve"]>): Promise<Placement> {
  const result = await reserved;
  if ("shortages" in result) throw new Error(JSON.stringify(result.shortages));
  return result;
}

interface ModelInstance extends Placement {
  readonly owner: JobOwner;
  readonly slot: string;
  readonly needs: Needs;
}

/** Placements as they should be, on two hosts that start again now and then. */
class PlacementModel {
  readonly #store: Store;
  readonly #random: Random;
  readonly #lives = new Map<string, number>();
  #instances: ModelInstance[] = [];

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  async run(steps: number): Promise<void> {
    for (const name of ["host-1", "host-2"]) await this.#restart(name);
    for (let step = 0; step < steps; step++) {
      const name = this.#random.pick(["host-1", "host-2"]);
      if (this.#random.chance(0.03)) await this.#restart(name);
      else if (this.#random.chance(0.4)) await this.#release();
      else await this.#reserve(name);
      for (const host of this.#lives.keys()) expect(await this.#store.free(host)).toEqual(this.#free(host));
    }
  }

  async #restart(name: string): Promise<void> {
    this.#lives.set(name, (this.#lives.get(name) ?? 0) + 1);
    this.#instances = this.#instances.filter(({ owner }) => owner.host !== name);
    await this.#store.registerHost(this.#owner(name), devices);
  }

  async #release(): Promise<void> {
    const instance = this.#random.pick(this.#instances);
    if (instance === undefined) return;
    this.#instances = this.#instances.filter((other) => other !== instance);
    expect(await this.#store.release(instance.instance, instance.fence)).toBe(true);
  }

  async #reserve(name: string): Promise<void> {
    const random = this.#random;
    const needs = {
      gpus: random.below(3),
      gpuMemoryBytes: random.below(30 * GIB),
      cores: random.below(3000) / 1000,
      memoryBytes: random.below(10 * GIB),
    };
    const owner = this.#owner(name);
    const [service, slot] = [random.pick(["ocr", "asr"]), random.below(4)];
    const wanted = random.chance(0.5) ? gpus : gpus.toReversed();
    const key = `${service} ${slot}`;
    const reserved = this.#store.reserve(owner, service, slot, needs, wanted);
    if (this.#instances.some((instance) => instance.slot === key)) {
      await expect(reserved).rejects.toMatchObject({ code: "INSTANCE_EXISTS" });
      return;
    }
    const free = new Map(this.#free(name).map((device) => [device.device, device]));
    const fitting = wanted.filter((gpu) => free.get(gpu)!.memoryBytes >= needs.gpuMemoryBytes).slice(0, needs.gpus);
    const cpu = free.get("cpu")!;
    const fits = fitting.length === needs.gpus && cpu.cores >= needs.cores && cpu.memoryBytes >= needs.memoryBytes;
    const result = await reserved;
    expect("instance" in result).toBe(fits);
    if (!("instance" in result)) return;
    expect(result.gpus).toEqual(fitting);
    this.#instances.push({ ...result, owner, slot: key, needs });
  }

  #owner(name: string): JobOwner {
    return { host: name, life: `life-${this.#lives.get(name)}` };
  }

  #free(name: string): readonly DeviceFacts[] {
    const here = this.#instances.filter(({ owner }) => owner.host === name);
    return devices.map(({ device, memoryBytes, cores }) => {
      const held = device === "cpu" ? here : here.filter((instance) => instance.gpus.includes(device));
      const bytes = held.map(({ needs }) => (device === "cpu" ? needs.memoryBytes : needs.gpuMemoryBytes));
      const millicores = device === "cpu" ? held.map(({ needs }) => Math.round(needs.cores * 1000)) : [];
      return {
        device,
        memoryBytes: bytes.reduce((left, amount) => left - amount, memoryBytes),
        cores: millicores.reduce((left, amount) => left - amount, cores * 1000) / 1000,
      };
    });
  }
}
