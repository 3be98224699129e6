import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type FakeCard, type FakeDriver, useFakeDriver } from "../../../test/helpers/fake-driver.ts";
import { type Needs, openStore, type PlacementStore } from "../../store/index.ts";
import { Devices } from "./devices.ts";
import { type PlacementNews, Placer } from "./placer.ts";
import type { Reservation } from "./reservation.ts";

export interface PlacedHost {
  readonly placer: Placer;
  readonly driver: FakeDriver;
  readonly store: PlacementStore;
  readonly devices: Devices;
  readonly news: PlacementNews[];
  /** Asks for a place for a service, and waits until it is known whether there is one. */
  reserve(service: string, needs: Partial<Needs>, giveWay?: () => boolean): Promise<Reservation>;
}

const MIB = 2 ** 20;

/** A host with these simulated cards, a store of its own and a placer that looks often. */
export async function usePlacedHost(cards: readonly FakeCard[], lookMs = 100): Promise<PlacedHost> {
  const driver = useFakeDriver(...cards);
  const directory = mkdtempSync(join(tmpdir(), "signet-placer-"));
  const store = await openStore({ kind: "sqlite", file: join(directory, "store.sqlite") });
  const devices = new Devices({ root: driver.root, timeoutMs: 5000 });
  const news: PlacementNews[] = [];
  const owner = { host: "here", life: "this" };
  const placer = await Placer.open({ store, owner, devices, onNews: (each) => news.push(each), lookMs });
  onTestFinished(async () => {
    await placer.close();
    devices.close();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const noProcess = { pid: undefined, memoryBytes: 0 };
  async function reserve(service: string, needs: Partial<Needs>, giveWay?: () => boolean): Promise<Reservation> {
    const complete = { gpus: 0, gpuMemoryBytes: 0, cores: 0, memoryBytes: 0, ...needs };
    const reservation = placer.reserve(service, complete, noProcess, giveWay);
    await reservation.tried;
    return reservation;
  }
  return { placer, driver, store, devices, news, reserve };
}

/** What a service needs that takes GPUs. */
export function onGpus(gpuMemoryMiB: number, gpus = 1): Partial<Needs> {
  return { gpus, gpuMemoryBytes: gpuMemoryMiB * MIB };
}
