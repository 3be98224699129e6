import { SignetError } from "../../errors.ts";
import type { Needs } from "../../store/index.ts";
import type { Placer } from "./placer.ts";
import type { PlacedProcess, Reservation } from "./reservation.ts";

/** What a service's processes need of this host, and who gives it. */
export interface ServicePlacement {
  readonly placer: Placer;
  readonly needs: Needs;
}

/** The place that a service's processes have, one after the other; kept between one that ended and the next. */
export class ServicePlace {
  readonly #service: string;
  readonly #placement: ServicePlacement;
  readonly #process: PlacedProcess;
  readonly #giveWay: () => boolean;
  #reservation: Reservation | undefined;

  constructor(service: string, placement: ServicePlacement, process: PlacedProcess, giveWay: () => boolean) {
    this.#service = service;
    this.#placement = placement;
    this.#process = process;
    this.#giveWay = giveWay;
  }

  /** What it waits for, in words for people; undefined while it has a place or wants none. */
  get waitingFor(): string | undefined {
    return this.#reservation?.explanation;
  }

  /** The GPUs that are kept, such as `gpu:0`. */
  get devices(): readonly string[] {
    return this.#reservation?.devices ?? [];
  }

  /** Their serial numbers, for the process alone. */
  get visibleGpus(): readonly string[] {
    return this.#reservation?.visibleGpus ?? [];
  }

  /**
   * Sees to it that there is a place. Null when there is, else why not yet: SERVICE_UNPLACED.
   * @param onFound called once when there is one later
   */
  async ensure(onFound: () => void): Promise<SignetError | null> {
    const { placer, needs } = this.#placement;
    // A card that is lost is no place to start again on.
    if (this.#reservation !== undefined && placer.faultOf(this.#reservation) !== undefined) this.giveBack();
    if (this.#reservation === undefined) {
      this.#reservation = placer.reserve(this.#service, needs, this.#process, this.#giveWay);
    }
    const reservation = this.#reservation;
    await reservation.tried;
    if (reservation.placement !== undefined) return null;
    void reservation.granted.then((isGranted) => {
      if (isGranted) onFound();
    });
    return new SignetError(
      "SERVICE_UNPLACED",
      `${this.#service} is ${reservation.explanation ?? "not wanted any more"}`,
    );
  }

  /** For when its process is gone, or never came. */
  giveBack(): void {
    void this.#reservation?.release();
    this.#reservation = undefined;
  }
}
