import { SignetError } from "../errors.ts";
import { MAC_BYTES } from "./chain.ts";
import type { LedgerEntry, LedgerRecord } from "./ledger-record.ts";
import type { RevocationNumber } from "./revocation.ts";
import type { LedgerHead } from "./schema.ts";

/** How far the wall clock may leap ahead before it is believed only after it has lasted. */
const LEAP_MS = 48 * 3_600_000;
/** How long a leap must last in one boot to be believed. */
const LEAP_PROVEN_MS = 24 * 3_600_000;
/** How far the wall clock may be behind the high-water time: time zones and repaired clocks, not an extra day. */
export const CLOCK_TOLERANCE_MS = 24 * 3_600_000;

/** What the journal says of one service under one license. */
export interface Account {
  readonly licenseId: string;
  readonly service: string;
  /** Charged for good. */
  runs: number;
  runTimeMs: number;
  /** Debited in advance; charged too if the server ends without settling. */
  leased: number;
  /** As licensed when the last lease was taken. */
  concurrency: number;
  /** In flight at the last settlement. */
  inFlight: number;
}

/** All that a chain of records says. It holds no file and no clock; `apply` is its only change. */
export class LedgerState {
  id = "";
  sequence = -1;
  mac: Buffer = Buffer.alloc(MAC_BYTES);
  /** The latest time this ledger is sure of, ms since 1970. */
  highWaterMs = 0;
  /** Clock readings of the newest record. */
  wallMs = 0;
  monotonicMs = 0;
  bootId = "";
  #leap: { t: number; m: number; b: string } | null = null;
  readonly #ratchets = new Map<string, number>();
  readonly #deactivated = new Set<string>();
  /** By root and signer. */
  readonly #revocations = new Map<string, RevocationNumber>();
  readonly #accounts = new Map<string, Map<string, Account>>();

  /** The highest sequence of a license that was ever used, 0 if none was. */
  highestSequence(licenseId: string): number {
    return this.#ratchets.get(licenseId) ?? 0;
  }

  /** Whether a license was given back here, for good. */
  isDeactivated(licenseId: string): boolean {
    return this.#deactivated.has(licenseId);
  }

  /** The newest revocation list of each signer that was ever honored here. */
  get revocationNumbers(): readonly RevocationNumber[] {
    return [...this.#revocations.values()];
  }

  /** The account of a service, opened with zeros when there is none. */
  account(licenseId: string, service: string): Account {
    let services = this.#accounts.get(licenseId);
    if (!services) {
      services = new Map();
      this.#accounts.set(licenseId, services);
    }
    let account = services.get(service);
    if (!account) {
      account = { licenseId, service, runs: 0, runTimeMs: 0, leased: 0, concurrency: 0, inFlight: 0 };
      services.set(service, account);
    }
    return account;
  }

  *accounts(): Generator<Readonly<Account>> {
    for (const services of this.#accounts.values()) yield* services.values();
  }

  /**
   * What is charged for good, and what is leased on top by a server that runs or has crashed. Until that server
   * settles, the truth lies between `runs` and `runs + leased`.
   */
  totals(licenseId: string, service: string): { runs: number; runTimeMs: number; leased: number } {
    const account = this.#accounts.get(licenseId)?.get(service);
    return { runs: account?.runs ?? 0, runTimeMs: account?.runTimeMs ?? 0, leased: account?.leased ?? 0 };
  }

  /** What a host request quotes. These totals only grow, so a vendor can tell a ledger that was set back. */
  head(licenseId: string | null): LedgerHead {
    const totals: LedgerHead["totals"] = {};
    for (const { service, runs, runTimeMs } of this.#accounts.get(licenseId ?? "")?.values() ?? [])
      totals[service] = { runs, runTimeMs };
    return { sequence: this.sequence, mac: this.mac.toString("base64"), licenseId, totals };
  }

  /** The high-water time carried on by the monotonic clock, which nobody sets. */
  highWaterAt(monotonicMs: number, bootId: string): number {
    const sameBoot = bootId === this.bootId && monotonicMs > this.monotonicMs;
    return this.highWaterMs + (sameBoot ? monotonicMs - this.monotonicMs : 0);
  }

  apply(record: LedgerRecord, mac: Buffer): void {
    this.#apply(record);
    this.#advanceTime(record);
    this.sequence = record.s;
    this.mac = mac;
  }

  #apply(record: LedgerRecord): void {
    switch (record.k) {
      case "genesis":
        this.id = record.id;
        this.highWaterMs = record.t;
        break;
      case "license":
        this.#ratchets.set(record.l, Math.max(record.q, this.highestSequence(record.l)));
        break;
      case "deactivate":
        this.#deactivated.add(record.l);
        break;
      case "revocations":
        this.#revocations.set(`${record.r} ${record.i}`, {
          rootKeyId: record.r,
          signerKeyId: record.i,
          number: record.n,
        });
        break;
      case "lease": {
        const account = this.#settle(record);
        account.leased += record.n;
        account.concurrency = record.c;
        break;
      }
      case "settle":
        this.#settle(record).leased -= record.x;
        break;
      case "forfeit": {
        const account = this.account(record.l, record.v);
        account.runs += record.n;
        account.runTimeMs += record.d;
        account.leased = 0;
        account.inFlight = 0;
        break;
      }
      case "close":
        for (const services of this.#accounts.values()) for (const account of services.values()) account.inFlight = 0;
        break;
      case "snapshot":
        this.#restore(record);
        break;
      case "boot":
      case "clock":
        break;
    }
  }

  #settle(record: LedgerRecord & { k: "lease" | "settle" }): Account {
    const account = this.account(record.l, record.v);
    account.runs += record.r;
    account.leased -= record.r;
    account.runTimeMs += record.d;
    account.inFlight = record.f;
    return account;
  }

  /** Also applied by the server that wrote it, whose accounts must stay the same objects. */
  #restore(record: LedgerRecord & { k: "snapshot" }): void {
    this.id = record.id;
    this.highWaterMs = record.high;
    this.#leap = record.suspect;
    for (const [licenseId, sequence] of Object.entries(record.ratchets)) this.#ratchets.set(licenseId, sequence);
    for (const licenseId of record.deactivated) this.#deactivated.add(licenseId);
    for (const entry of record.revocations) this.#apply({ ...record, k: "revocations", ...entry });
    for (const { l, v, c, f, ...rest } of record.accounts)
      Object.assign(this.account(l, v), { ...rest, concurrency: c, inFlight: f });
  }

  /**
   * The high-water time follows the wall clock upwards, and within one boot also the monotonic clock, so that
   * setting the clock back every night does not stop time. A leap far ahead (a flat battery, a mistyped year) is
   * held until it has lasted a day or has survived a restart of the machine: believed at once, it would lock the
   * host out for ever.
   */
  #advanceTime({ t, m, b }: LedgerRecord): void {
    this.highWaterMs = this.highWaterAt(m, b);
    if (t <= this.highWaterMs + LEAP_MS) {
      this.highWaterMs = Math.max(this.highWaterMs, t);
      this.#leap = null;
    } else if (!this.#leap || t < this.#leap.t) {
      this.#leap = { t, m, b };
    } else if (b !== this.#leap.b || m - this.#leap.m >= LEAP_PROVEN_MS) {
      this.highWaterMs = t;
      this.#leap = null;
    }
    this.wallMs = t;
    this.monotonicMs = m;
    this.bootId = b;
  }

  /** The entry that lets a new segment begin without the ones before it. */
  snapshot(): LedgerEntry & { k: "snapshot" } {
    return {
      k: "snapshot",
      id: this.id,
      p: this.mac.toString("base64"),
      high: this.highWaterMs,
      suspect: this.#leap,
      ratchets: Object.fromEntries(this.#ratchets),
      deactivated: [...this.#deactivated],
      revocations: this.revocationNumbers.map(({ rootKeyId: r, signerKeyId: i, number: n }) => ({ r, i, n })),
      accounts: [...this.accounts()].map(({ licenseId: l, service: v, concurrency: c, inFlight: f, ...rest }) => ({
        l,
        v,
        ...rest,
        c,
        f,
      })),
    };
  }
}

/** @throws CLOCK_SET_BACK when `nowMs` is more than a day behind the time the ledger has already seen. */
export function verifyClock(nowMs: number, highWaterMs: number): void {
  if (nowMs >= highWaterMs - CLOCK_TOLERANCE_MS) return;
  throw new SignetError(
    "CLOCK_SET_BACK",
    `the clock says ${isoTime(nowMs)}, but the ledger has already seen ${isoTime(highWaterMs)}`,
  );
}

function isoTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString();
}
