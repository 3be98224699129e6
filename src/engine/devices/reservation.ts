import type { Needs, Placement } from "../../store/index.ts";
import type { Gpu } from "./devices.ts";

/** What a service's process has used at most since the server started, bytes. */
export interface PeakUse {
  /** Private memory. */
  readonly memoryBytes: number;
  /** Of the GPU of which it used most; null where the driver never told. */
  readonly gpuMemoryBytes: number | null;
}

/** The process that has a place, as far as it is there. */
export interface PlacedProcess {
  readonly pid: number | undefined;
  /** Private memory, bytes. */
  readonly memoryBytes: number;
}

export interface ReservationOptions {
  readonly service: string;
  readonly needs: Needs;
  readonly process: PlacedProcess;
  /** Whoever holds it has no need of it now, and gives it back soon when asked to. @returns whether that is so */
  readonly giveWay: () => boolean;
  readonly onReleased: (reservation: Reservation) => Promise<void>;
}

/** What a service's process takes of its host: asked for, then held, then released, once each. */
export class Reservation {
  readonly service: string;
  readonly needs: Needs;
  readonly process: PlacedProcess;
  readonly giveWay: () => boolean;
  readonly #onReleased: (reservation: Reservation) => Promise<void>;
  readonly #tried = Promise.withResolvers<void>();
  readonly #granted = Promise.withResolvers<boolean>();
  #placement: Placement | undefined;
  #gpus: readonly Gpu[] = [];
  #slot: number | undefined;
  #explanation: string | undefined;
  #released: Promise<void> | undefined;
  /** Somebody was told that it uses more than it said. */
  isReported = false;

  constructor({ service, needs, process, giveWay, onReleased }: ReservationOptions) {
    this.service = service;
    this.needs = needs;
    this.process = process;
    this.giveWay = giveWay;
    this.#onReleased = onReleased;
  }

  /** Resolves when it is known whether there is room now. */
  get tried(): Promise<void> {
    return this.#tried.promise;
  }

  /** Resolves with true when it is held, with false when it was released before. */
  get granted(): Promise<boolean> {
    return this.#granted.promise;
  }

  get placement(): Placement | undefined {
    return this.#placement;
  }

  get slot(): number | undefined {
    return this.#slot;
  }

  get isReleased(): boolean {
    return this.#released !== undefined;
  }

  /** Names of the GPUs that it has, in order. */
  get devices(): readonly string[] {
    return this.#gpus.map(({ name }) => name);
  }

  /** The serial numbers of the GPUs that it has, in order, for its process alone. */
  get visibleGpus(): readonly string[] {
    return this.#gpus.map(({ uuid }) => uuid);
  }

  /** What it waits for, in words for people; undefined while it does not wait. */
  get explanation(): string | undefined {
    return this.#placement === undefined ? this.#explanation : undefined;
  }

  /** It waits, for this. */
  wait(explanation: string): void {
    this.#explanation = explanation;
    this.#tried.resolve();
  }

  grant(placement: Placement, slot: number, gpus: readonly Gpu[]): void {
    this.#placement = placement;
    this.#slot = slot;
    this.#gpus = gpus;
    this.#granted.resolve(true);
    this.#tried.resolve();
  }

  /** Gives it back, or asks for it no more. For when its process is gone. */
  release(): Promise<void> {
    if (this.#released === undefined) {
      this.#released = this.#onReleased(this);
      this.#granted.resolve(false);
      this.#tried.resolve();
    }
    return this.#released;
  }
}
