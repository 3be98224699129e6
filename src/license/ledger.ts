import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { SignetError } from "../errors.ts";
import { completeClock, type LedgerClock } from "./ledger-clock.ts";
import { SEGMENT_BYTES } from "./ledger-journal.ts";
import { Meter, type RunTicket } from "./ledger-meter.ts";
import { type LedgerFiles, type LedgerPlace, ledgerFiles, type VerifiedLedger, verifyLedger } from "./ledger-place.ts";
import type { LedgerEntry } from "./ledger-record.ts";
import { type LedgerState, verifyClock } from "./ledger-state.ts";
import { LedgerWriter } from "./ledger-writer.ts";
import { isSameSigner, type RevocationNumber } from "./revocation.ts";
import type { LedgerHead, Limits } from "./schema.ts";

/** How often activity is settled; also what a run in flight is charged for the unknown moment of a crash. */
const BEAT_MS = 1000;

export interface LedgerOptions extends LedgerPlace {
  /** Takes an exclusive advisory lock (flock) on an open file, without waiting; false when another has it. */
  lock(fd: number): boolean;
  /** Whether to begin a ledger where there is no trace of one. Otherwise that is LEDGER_MISSING. */
  readonly create?: boolean;
  readonly clock?: LedgerClock;
  /** Size at which a journal segment is closed. Default 8 MiB. */
  readonly segmentBytes?: number;
}

export type RunLimits = Pick<Limits, "runs" | "runTimeMs" | "concurrency">;

/**
 * Opens the ledger for the one server of this host.
 *
 * @throws LEDGER_BUSY, LEDGER_MISSING, LEDGER_TAMPERED, LEDGER_ROLLED_BACK, LEDGER_UNWRITABLE, FILE_UNREADABLE
 */
export function openLedger(options: LedgerOptions): Ledger {
  const directoryFd = openDirectory(options.directory);
  try {
    // The directory itself is locked: a lock file could be removed and made again.
    if (!options.lock(directoryFd))
      throw new SignetError("LEDGER_BUSY", `another server has ${options.directory} open`);
    const files = ledgerFiles(options);
    return new Ledger(options, directoryFd, files, verifyLedger(files, options.create ?? false));
  } catch (error) {
    closeSync(directoryFd);
    throw error;
  }
}

/**
 * The usage ledger. Runs are debited by leases: a record on disk pays for many runs before the first of them starts,
 * then each takes one from memory. A second after they began, and every second while something happens, what was
 * used is settled; a second without activity gives the rest of the lease back. A server that ends without `close`
 * forfeits what it had leased: at most 1 % of the runs that remained (at least one; 4096 if unlimited), and one
 * second of run time for every run that may have been in flight. So ending it early never makes a run free.
 */
export class Ledger {
  /** What was found and repaired on opening, in words for the log. */
  readonly notices: readonly string[];
  readonly #writer: LedgerWriter;
  readonly #state: LedgerState;
  readonly #directoryFd: number;
  readonly #clock: Required<LedgerClock>;
  readonly #meters = new Map<string, Map<string, Meter>>();
  #cancelBeat: (() => void) | null = null;
  #closed = false;
  readonly #closeOnExit = () => {
    try {
      this.close();
    } catch {
      // Nobody is left to tell; the next start charges the lease.
    }
  };

  /** Use `openLedger`. Takes over `directoryFd` when it returns, not when it throws. */
  constructor(options: LedgerOptions, directoryFd: number, files: LedgerFiles, verified: VerifiedLedger) {
    this.#directoryFd = directoryFd;
    this.#clock = completeClock(options.clock);
    const { directory, lock, segmentBytes = SEGMENT_BYTES } = options;
    this.#writer = new LedgerWriter({ directory, lock, segmentBytes, files, verified, clock: this.#clock });
    this.#state = this.#writer.state;
    try {
      this.notices = this.#boot(verified);
    } catch (error) {
      this.#writer.close();
      throw error;
    }
    process.once("exit", this.#closeOnExit);
  }

  /** Records this start, and charges what a server that crashed had leased. */
  #boot({ journal, anchors }: VerifiedLedger): string[] {
    const notices: string[] = [];
    const cut = journal === "missing" ? 0 : journal.tornBytes;
    const lost = journal === "missing" ? 0 : anchors.filter((reading) => typeof reading === "string").length;
    if (cut > 0) notices.push(`cut ${cut} bytes of an unfinished write from the end of the ledger`);
    if (lost > 0) notices.push(`restored ${lost} of 2 ledger anchors, lost or damaged`);
    const entries: LedgerEntry[] = [{ k: "boot", cut, anchors: lost }];
    for (const { licenseId: l, service: v, leased: n, inFlight, concurrency } of this.#state.accounts()) {
      if (n === 0 && inFlight === 0) continue;
      const d = Math.max(inFlight, Math.min(concurrency, inFlight + n)) * BEAT_MS;
      entries.push({ k: "forfeit", l, v, n, d });
      notices.push(
        `${v}: charged ${n === 1 ? "1 run" : `${n} runs`} and ${d} ms of run time that an interrupted server had not settled`,
      );
    }
    this.#writer.append(entries);
    this.#writer.syncAnchors();
    return notices;
  }

  /** What tells this ledger from every other one, 32 hex digits. */
  get id(): string {
    return this.#state.id;
  }

  /** Why no run can be charged at the moment, or null. */
  get fault(): SignetError | null {
    return this.#writer.fault;
  }

  /** Settles when closed segments have been compressed. */
  get archiving(): Promise<void> {
    return this.#writer.archiving;
  }

  /** The latest time this ledger is sure of, ms since 1970. */
  get highWaterMs(): number {
    return this.#state.highWaterAt(Math.floor(this.#clock.monotonicMs()), this.#writer.bootId);
  }

  /** The time to judge expiry by, ms since 1970: the wall clock, or the high-water time where that is later. */
  get nowMs(): number {
    return Math.max(this.#clock.wallMs(), this.highWaterMs);
  }

  /** @throws CLOCK_SET_BACK when the wall clock is more than a day behind the time the ledger has already seen. */
  verifyClock(): void {
    verifyClock(this.#clock.wallMs(), this.highWaterMs);
  }

  /** The highest sequence of a license that was ever used here, 0 if none was. */
  highestSequence(licenseId: string): number {
    return this.#state.highestSequence(licenseId);
  }

  /** Whether a license was given back here, for good. */
  isDeactivated(licenseId: string): boolean {
    return this.#state.isDeactivated(licenseId);
  }

  /**
   * Gives a license back: no sequence of it is accepted here any more. A second time changes nothing.
   *
   * @throws LEDGER_UNWRITABLE
   */
  deactivate(licenseId: string): void {
    if (this.isDeactivated(licenseId)) return;
    this.#writer.append([{ k: "deactivate", l: licenseId }]);
    this.#writer.syncAnchors();
  }

  /** The newest revocation list of each signer that was ever honored here. */
  get revocationNumbers(): readonly RevocationNumber[] {
    return this.#state.revocationNumbers;
  }

  /**
   * Remembers which revocation lists are honored; from now on an older one, or none, is not enough.
   *
   * @throws LEDGER_UNWRITABLE
   */
  admitRevocations(lists: readonly RevocationNumber[]): void {
    const known = this.revocationNumbers;
    const newer = lists.filter((list) => !known.some((seen) => isSameSigner(seen, list) && seen.number >= list.number));
    if (newer.length === 0) return;
    const entries = newer.map(
      ({ rootKeyId: r, signerKeyId: i, number: n }) => ({ k: "revocations", r, i, n }) as const,
    );
    this.#writer.append(entries);
    this.#writer.syncAnchors();
  }

  /**
   * Remembers that a license is in use; from now on nothing older is accepted.
   *
   * @throws LICENSE_SUPERSEDED, LEDGER_UNWRITABLE
   */
  admit(licenseId: string, sequence: number): void {
    const highest = this.highestSequence(licenseId);
    if (sequence < highest)
      throw new SignetError(
        "LICENSE_SUPERSEDED",
        `license ${licenseId} has sequence ${sequence}, but ${highest} was already used here`,
      );
    if (sequence === highest) return;
    this.#writer.append([{ k: "license", l: licenseId, q: sequence }]);
    this.#writer.syncAnchors();
  }

  /**
   * Charges one run, before it starts. Costs about a microsecond; now and then, when a lease is used up, one sync.
   *
   * @throws LICENSE_RUNS_EXHAUSTED, LICENSE_RUN_TIME_EXHAUSTED, LEDGER_UNWRITABLE, SHUTTING_DOWN
   */
  charge(licenseId: string, service: string, limits: RunLimits): RunTicket {
    const meter = this.#meters.get(licenseId)?.get(service) ?? this.#createMeter(licenseId, service);
    const now = this.#clock.monotonicMs();
    verifyUse(service, limits, meter.used, meter.runTimeMs(now));
    if (this.#closed) throw new SignetError("SHUTTING_DOWN", "the usage ledger is closed");
    if (this.#writer.fault) this.#settleAll(now);
    if (meter.needsLease) {
      const lease = meter.lease(limits, now);
      this.#writer.append([lease]);
      meter.leased(lease.n, now);
    }
    this.#cancelBeat ??= this.#scheduleBeat();
    return meter.charge();
  }

  /** Whether a run could be charged now. @throws LICENSE_RUNS_EXHAUSTED, LICENSE_RUN_TIME_EXHAUSTED */
  verifyLeft(licenseId: string, service: string, limits: RunLimits): void {
    const { runs, runTimeMs } = this.totals(licenseId, service);
    verifyUse(service, limits, runs, runTimeMs);
  }

  /** A run that was charged starts: its time counts from now on. Once. */
  start(ticket: RunTicket): void {
    ticket.meter?.start(ticket, this.#clock.monotonicMs());
  }

  /** Ends a run and returns how long it took, ms. A second call returns the same and changes nothing. */
  settle(ticket: RunTicket): number {
    return ticket.meter?.finish(ticket, this.#clock.monotonicMs()) ?? ticket.durationMs;
  }

  /**
   * Takes back a run that never reached the plugin; the next run is then already paid for. Does nothing after
   * `settle`. Calling it for a run that did start would make that run free.
   */
  cancel(ticket: RunTicket): void {
    ticket.meter?.cancel(ticket);
  }

  /** What a service has used up to now, exactly. */
  totals(licenseId: string, service: string): { runs: number; runTimeMs: number; inFlight: number } {
    const meter = this.#meters.get(licenseId)?.get(service);
    if (!meter) {
      const { runs, runTimeMs } = this.#state.totals(licenseId, service);
      return { runs, runTimeMs, inFlight: 0 };
    }
    const runTimeMs = Math.round(meter.runTimeMs(this.#clock.monotonicMs()));
    return { runs: meter.used, runTimeMs, inFlight: meter.inFlight };
  }

  /** Head of the chain, and what has been settled under a license: at most a second old. */
  head(licenseId: string | null): LedgerHead {
    return this.#state.head(licenseId);
  }

  /**
   * Settles what happened since the last beat. It calls itself every second while there is something to settle.
   * It never throws: what it could not write is in `fault`, and is tried again before the next run.
   */
  beat(): void {
    if (this.#closed) return;
    this.#cancelBeat?.();
    this.#cancelBeat = null;
    try {
      const active = this.#settleAll(this.#clock.monotonicMs());
      if (active) this.#cancelBeat = this.#scheduleBeat();
    } catch {
      this.#cancelBeat = this.#scheduleBeat();
    }
  }

  /**
   * Settles everything, gives leases back and closes the files. Runs still in flight are charged up to now.
   *
   * @throws LEDGER_UNWRITABLE; the ledger is closed all the same
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelBeat?.();
    process.removeListener("exit", this.#closeOnExit);
    try {
      const now = this.#clock.monotonicMs();
      const settlements = [...this.#allMeters()].map((meter) => meter.close(now));
      this.#writer.append([...settlements.filter((entry) => entry !== null), { k: "close" }]);
      this.#writer.syncAnchors();
    } finally {
      this.#writer.close();
      closeSync(this.#directoryFd);
    }
  }

  #createMeter(licenseId: string, service: string): Meter {
    const meter = new Meter(this.#state.account(licenseId, service));
    let services = this.#meters.get(licenseId);
    if (!services) {
      services = new Map();
      this.#meters.set(licenseId, services);
    }
    services.set(service, meter);
    return meter;
  }

  *#allMeters(): Generator<Meter> {
    for (const services of this.#meters.values()) yield* services.values();
  }

  #scheduleBeat(): () => void {
    return this.#clock.schedule(BEAT_MS, () => this.beat());
  }

  /** Returns whether another beat is needed. */
  #settleAll(nowMs: number): boolean {
    const meters = [...this.#allMeters()];
    const entries = meters.map((meter) => meter.beat(nowMs)).filter((entry) => entry !== null);
    if (entries.length > 0 || this.#writer.fault) this.#writer.append(entries);
    return meters.map((meter) => meter.beaten()).includes(true);
  }
}

function verifyUse(service: string, limits: RunLimits, runs: number, runTimeMs: number): void {
  if (limits.runs !== null && runs >= limits.runs) {
    throw new SignetError("LICENSE_RUNS_EXHAUSTED", `${service}: all ${limits.runs} licensed runs are used`);
  }
  if (limits.runTimeMs !== null && runTimeMs >= limits.runTimeMs) {
    const message = `${service}: all ${limits.runTimeMs} ms of licensed run time are used`;
    throw new SignetError("LICENSE_RUN_TIME_EXHAUSTED", message);
  }
}

function openDirectory(path: string): number {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SignetError("LEDGER_UNWRITABLE", `${path}: not usable as the ledger's directory (${code})`, {
      cause: error,
    });
  }
}
