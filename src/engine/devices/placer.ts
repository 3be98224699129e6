import { SignetError } from "../../errors.ts";
import type { JobOwner, Needs, PlacementStore } from "../../store/index.ts";
import type { Devices } from "./devices.ts";
import { explainGpus, explainShortage, formatBytes } from "./explain.ts";
import { PeakUses } from "./peak-uses.ts";
import { type PeakUse, type PlacedProcess, Reservation } from "./reservation.ts";
import { type GpuRoom, roomOf, usedBy } from "./room.ts";

/** What whoever watches a placer is told. */
export type PlacementNews =
  | { readonly type: "placed"; readonly service: string; readonly devices: readonly string[] }
  | { readonly type: "waiting"; readonly service: string; readonly explanation: string }
  /** Its process uses more memory of its GPUs than it said. */
  | { readonly type: "overuse"; readonly service: string; readonly explanation: string }
  | { readonly type: "device"; readonly device: string; readonly fault: string | null };

export interface PlacerOptions {
  readonly store: PlacementStore;
  readonly owner: JobOwner;
  readonly devices: Devices;
  readonly onNews: (news: PlacementNews) => void;
  /** How often the devices are looked at while somebody has or wants a place. Default 5000. */
  readonly lookMs?: number;
}

const LOOK_MS = 5000;
/** A process may use so much more than its service said before it is told. */
const OVERUSE = 1.1;

/**
 * Says which service runs on which devices of this host, and which has to wait for room. The store makes sure that
 * nothing is promised twice; the placer says which GPUs are fit for it, since it sees what is measured on them.
 */
export class Placer {
  readonly #options: PlacerOptions;
  readonly #held = new Set<Reservation>();
  /** In the order in which they asked. */
  readonly #waiting = new Set<Reservation>();
  readonly #peaks = new PeakUses();
  readonly #faults = new Map<string, string | null>();
  #round: Promise<void> = Promise.resolve();
  #isRoundDue = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** What the store is being told. */
  readonly #releases = new Set<Promise<void>>();

  /** @throws STORE_UNAVAILABLE */
  static async open(options: PlacerOptions): Promise<Placer> {
    const { devices, store, owner } = options;
    await devices.look();
    await store.registerHost(owner, devices.facts);
    return new Placer(options);
  }

  private constructor(options: PlacerOptions) {
    this.#options = options;
    for (const { name, fault } of options.devices.gpus) this.#faults.set(name, fault);
  }

  /** Asks for a place for a process of a service. It has it when `granted` says so, at the earliest when this returns. */
  reserve(service: string, needs: Needs, process: PlacedProcess, giveWay: () => boolean = () => false): Reservation {
    const reservation = new Reservation({
      ...{ service, needs, process, giveWay },
      onReleased: async (released) => {
        this.#waiting.delete(released);
        this.#held.delete(released);
        const { placement } = released;
        if (placement === undefined) return;
        const giving = this.#giveBack(placement.instance, placement.fence);
        this.#releases.add(giving);
        await giving;
        this.#releases.delete(giving);
        this.#look();
      },
    });
    this.#waiting.add(reservation);
    this.#timer ??= setInterval(() => this.#look(), this.#options.lookMs ?? LOOK_MS).unref();
    this.#look();
    return reservation;
  }

  /** Why a process with this place cannot go on with it; undefined while it can. */
  faultOf({ devices }: Reservation): string | undefined {
    const found = this.#options.devices.gpus.find(({ name, fault }) => fault !== null && devices.includes(name));
    return found === undefined ? undefined : `${found.name}: ${found.fault}`;
  }

  /** What the processes of a service used at most; undefined where none has had a place. */
  peakUseOf(service: string): PeakUse | undefined {
    return this.#peaks.of(service);
  }

  /** Every GPU with what is left of it. */
  get rooms(): readonly GpuRoom[] {
    return this.#options.devices.gpus.map((gpu) => roomOf(gpu, this.#held));
  }

  /** Resolves when what is under way has ended. Nothing gets a place any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await Promise.all([this.#round, ...this.#releases]);
  }

  /** Sees to it that those who wait are tried again. Rounds never overlap, so that two cannot be given the same. */
  #look(): void {
    if (this.#isClosed || this.#isRoundDue) return;
    this.#isRoundDue = true;
    this.#round = this.#round.then(async () => {
      this.#isRoundDue = false;
      await this.#placeAll();
    });
  }

  async #placeAll(): Promise<void> {
    // A driver in trouble takes its time; who needs no GPU does not wait for it.
    for (const reservation of this.#waiting) if (reservation.needs.gpus === 0) await this.#place(reservation);
    const wantsGpus = [...this.#waiting, ...this.#held].some(({ needs }) => needs.gpus > 0);
    if (wantsGpus) {
      await this.#options.devices.look();
      await this.#registerNewDevices();
    }
    for (const reservation of this.#waiting) if (reservation.needs.gpus > 0) await this.#place(reservation);
    this.#measure();
  }

  /** A partition that was cut meanwhile, or a card of a driver that did not answer when the server started. */
  async #registerNewDevices(): Promise<void> {
    const { devices, store, owner, onNews } = this.#options;
    const fresh = devices.gpus.filter(({ name }) => !this.#faults.has(name));
    if (fresh.length > 0) await this.#guard(() => store.registerHost(owner, devices.facts), undefined);
    for (const { name, fault } of devices.gpus) {
      if ((this.#faults.get(name) ?? null) !== fault) onNews({ type: "device", device: name, fault });
      this.#faults.set(name, fault);
    }
  }

  async #place(reservation: Reservation): Promise<void> {
    const { service, needs } = reservation;
    if (this.#isClosed || reservation.isReleased) return;
    const rooms = this.rooms.filter(({ gpu }) => needs.gpus <= 1 || !gpu.isPartition);
    const fit = rooms.filter(({ gpu, roomBytes }) => gpu.fault === null && roomBytes >= needs.gpuMemoryBytes);
    if (fit.length < needs.gpus) {
      this.#wait(reservation, explainGpus(needs, rooms, this.#options.devices.reason), rooms);
      return;
    }
    const gpus = fit.sort(byPreference).map(({ gpu }) => gpu.name);
    const slot = this.#freeSlot(service);
    const { store, owner, onNews } = this.#options;
    const answer = await this.#guard(
      () => store.reserve(owner, service, slot, needs, gpus),
      (error) => ({ shortages: [], failure: error.message }),
    );
    if ("instance" in answer) {
      if (reservation.isReleased) {
        await this.#giveBack(answer.instance, answer.fence);
        return;
      }
      this.#waiting.delete(reservation);
      this.#held.add(reservation);
      const taken = answer.gpus.map((name) => this.#options.devices.gpus.find((gpu) => gpu.name === name)!);
      reservation.grant(answer, slot, taken);
      onNews({ type: "placed", service, devices: reservation.devices });
      return;
    }
    const words = "failure" in answer ? [answer.failure] : answer.shortages.map(explainShortage);
    this.#wait(reservation, words.join("; "), []);
  }

  #wait(reservation: Reservation, what: string, rooms: readonly GpuRoom[]): void {
    const explanation = `waiting for ${what}`;
    const isNews = reservation.explanation !== explanation;
    reservation.wait(explanation);
    if (isNews) this.#options.onNews({ type: "waiting", service: reservation.service, explanation });
    this.#askToGiveWay(reservation, rooms);
  }

  /** Whoever has no need of a place that somebody waits for gives it back, one at a time: that may be enough. */
  #askToGiveWay({ needs }: Reservation, rooms: readonly GpuRoom[]): void {
    const wanted = new Set(
      rooms.filter(({ gpu }) => gpu.totalBytes >= needs.gpuMemoryBytes).map(({ gpu }) => gpu.name),
    );
    for (const held of this.#held) {
      const isInTheWay = needs.gpus > 0 ? held.devices.some((name) => wanted.has(name)) : usesHost(held.needs);
      if (isInTheWay && held.giveWay()) return;
    }
  }

  /** The first number of a service that no process of it has: while one version takes over from another, there are two. */
  #freeSlot(service: string): number {
    const taken = new Set([...this.#held].filter((held) => held.service === service).map(({ slot }) => slot));
    for (let slot = 0; ; slot++) if (!taken.has(slot)) return slot;
  }

  #measure(): void {
    const { devices, onNews } = this.#options;
    for (const held of this.#held) {
      const gpus = devices.gpus.filter(({ name }) => held.devices.includes(name));
      const used = gpus.map((gpu) => usedBy(held.process.pid, gpu)).filter((bytes) => bytes !== null);
      this.#peaks.note(held.service, held.process.memoryBytes, used.length === 0 ? null : used);
      const most = Math.max(0, ...used);
      if (held.isReported || most <= held.needs.gpuMemoryBytes * OVERUSE) continue;
      held.isReported = true;
      const explanation = `uses ${formatBytes(most)} of a GPU, it said ${formatBytes(held.needs.gpuMemoryBytes)}`;
      onNews({ type: "overuse", service: held.service, explanation });
    }
  }

  async #giveBack(instance: string, fence: number): Promise<void> {
    // What cannot be told to the store is over with this life of the server.
    await this.#guard(() => this.#options.store.release(instance, fence), undefined);
  }

  /** A store that does not answer now lets services wait and ends nothing. */
  async #guard<Answer, Instead>(
    act: () => Promise<Answer>,
    instead: Instead | ((error: SignetError) => Instead),
  ): Promise<Answer | Instead> {
    try {
      return await act();
    } catch (error) {
      return typeof instead === "function"
        ? (instead as (error: SignetError) => Instead)(SignetError.from(error))
        : instead;
    }
  }
}

/** Partitions first, the smallest that do, for they are no good for anything larger; then the least crowded card. */
function byPreference(a: GpuRoom, b: GpuRoom): number {
  if (a.gpu.isPartition !== b.gpu.isPartition) return a.gpu.isPartition ? -1 : 1;
  if (a.gpu.isPartition) return a.gpu.totalBytes - b.gpu.totalBytes;
  return a.holders.length - b.holders.length || b.roomBytes - a.roomBytes;
}

function usesHost({ cores, memoryBytes }: Needs): boolean {
  return cores > 0 || memoryBytes > 0;
}
