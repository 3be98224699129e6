export interface IdleWatchOptions {
  /** How long there must be nothing to do. */
  readonly afterMs: number;
  readonly isBusy: () => boolean;
  readonly onIdle: () => void;
}

/** Looks so often in the time after which something is idle: it is noticed that much late at most. */
const LOOKS = 4;
const MAX_LOOK_MS = 5000;

/** Tells when there has been nothing to do for a while. Looks now and then, so that being busy costs nothing. */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  readonly #timer: NodeJS.Timeout;
  #busyMs = performance.now();

  constructor(options: IdleWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), Math.min(options.afterMs / LOOKS, MAX_LOOK_MS)).unref();
  }

  /** There was something to do, just now. */
  note(): void {
    this.#busyMs = performance.now();
  }

  /** Since when there was nothing to do, as far as somebody looked, ms. */
  get idleMs(): number {
    if (this.#options.isBusy()) this.note();
    return performance.now() - this.#busyMs;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.idleMs >= this.#options.afterMs) this.#options.onIdle();
  }
}
