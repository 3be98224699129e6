import { SignetError } from "../errors.ts";
import type { Identity } from "./access.ts";

/** What one identity may have at a time; null for no limit of its own. */
export interface CallLimits {
  /** Calls in a second, in the long run. */
  readonly callsPerSecond: number | null;
  /** Calls at once after a pause; null for as many as in a second, at least one. */
  readonly burst: number | null;
  /** Calls that run or wait at the same time. */
  readonly concurrent: number | null;
}

export const noLimits: CallLimits = Object.freeze({ callsPerSecond: null, burst: null, concurrent: null });

/** Whether a call may begin. One that may must be released when it has ended. */
export type Admission =
  | { readonly isAdmitted: true; release(): void }
  | { readonly isAdmitted: false; readonly error: SignetError; readonly retryAfterMs: number };

interface Account {
  /** Tokens of the bucket at `filledAtMs`; a call takes one. */
  tokens: number;
  filledAtMs: number;
  running: number;
}

/** When a place among running calls may be free again; nobody knows, and hammering helps nobody. */
const CONCURRENCY_RETRY_MS = 100;

const unlimited: Admission = { isAdmitted: true, release: () => undefined };

/**
 * Rate limits and concurrency of identities: a token bucket and a count for each. Bounded by the number of
 * identities, since only authenticated calls come here.
 */
export class CallQuotas {
  readonly #accounts = new Map<string, Account>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
  }

  admit({ id, name, limits }: Identity): Admission {
    const { callsPerSecond, concurrent } = limits;
    if (callsPerSecond === null && concurrent === null) return unlimited;
    const account = this.#accountOf(id, limits);
    if (concurrent !== null && account.running >= concurrent) {
      const error = new SignetError("TOO_MANY_CALLS", `${name}: expected at most ${concurrent} calls at the same time`);
      return { isAdmitted: false, error, retryAfterMs: CONCURRENCY_RETRY_MS };
    }
    const refusal = this.#takeToken(account, name, limits);
    if (refusal) return refusal;
    account.running++;
    let isReleased = false;
    return {
      isAdmitted: true,
      release: () => {
        if (!isReleased) account.running--;
        isReleased = true;
      },
    };
  }

  /** One more call in a place among running calls that the identity holds already: only its rate counts. */
  admitInPlace({ id, name, limits }: Identity): Admission {
    if (limits.callsPerSecond === null) return unlimited;
    return this.#takeToken(this.#accountOf(id, limits), name, limits) ?? unlimited;
  }

  #takeToken(account: Account, name: string, limits: CallLimits): Admission | undefined {
    const { callsPerSecond } = limits;
    if (callsPerSecond === null) return undefined;
    const missing = 1 - this.#fill(account, limits, callsPerSecond);
    if (missing > 0) {
      const retryAfterMs = Math.ceil((missing / callsPerSecond) * 1000);
      const words = `${name}: expected at most ${callsPerSecond} calls in a second; the next in ${retryAfterMs} ms`;
      return { isAdmitted: false, error: new SignetError("RATE_LIMITED", words), retryAfterMs };
    }
    account.tokens--;
    return undefined;
  }

  #accountOf(id: string, limits: CallLimits): Account {
    let account = this.#accounts.get(id);
    if (!account) {
      account = { tokens: capacityOf(limits), filledAtMs: this.#monotonicMs(), running: 0 };
      this.#accounts.set(id, account);
    }
    return account;
  }

  /** The tokens that are there now. */
  #fill(account: Account, limits: CallLimits, callsPerSecond: number): number {
    const now = this.#monotonicMs();
    const grown = account.tokens + ((now - account.filledAtMs) / 1000) * callsPerSecond;
    account.tokens = Math.min(capacityOf(limits), grown);
    account.filledAtMs = now;
    return account.tokens;
  }
}

function capacityOf({ burst, callsPerSecond }: CallLimits): number {
  return burst ?? Math.max(1, Math.ceil(callsPerSecond ?? 1));
}
