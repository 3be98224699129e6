import { ConnectionError } from "./connection-error.ts";
import { ErrorCode } from "./frames.ts";

/** How many at once, and how many in a second in the long run. */
interface Rate {
  readonly burst: number;
  readonly perSecond: number;
  readonly words: string;
}

/** What costs a client little and a server more. The first two numbers are those that nghttp2 and Node.js chose. */
const rates = {
  /** Calls that were begun for nothing (CVE-2023-44487), or that we had to end ourselves (CVE-2025-8671). */
  reset: { burst: 1000, perSecond: 100, words: "calls that are reset or malformed" },
  ping: { burst: 1000, perSecond: 100, words: "PING" },
  settings: { burst: 100, perSecond: 10, words: "SETTINGS" },
  /** DATA without content, which costs no flow control, and frames of streams that have ended. */
  empty: { burst: 1000, perSecond: 100, words: "frames without content" },
  /** WINDOW_UPDATE, PRIORITY and unknown frames: cheap, but not for nothing. */
  small: { burst: 20_000, perSecond: 10_000, words: "WINDOW_UPDATE, PRIORITY and unknown frames" },
} as const satisfies Record<string, Rate>;

export type FloodKind = keyof typeof rates;

/** Counts what a connection does too often. The clock is looked at only when a burst is used up. */
export class FloodGuard {
  readonly #spent: Record<FloodKind, number> = { reset: 0, ping: 0, settings: 0, empty: 0, small: 0 };
  readonly #sinceMs: Record<FloodKind, number>;
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
    const now = monotonicMs();
    this.#sinceMs = { reset: now, ping: now, settings: now, empty: now, small: now };
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM */
  count(kind: FloodKind): void {
    const { burst, perSecond, words } = rates[kind];
    if (++this.#spent[kind] <= burst) return;
    const nowMs = this.#monotonicMs();
    const refilled = Math.floor(((nowMs - this.#sinceMs[kind]) / 1000) * perSecond);
    if (refilled < 1) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${words}`);
    this.#sinceMs[kind] = nowMs;
    this.#spent[kind] = Math.max(1, this.#spent[kind] - refilled);
  }
}
