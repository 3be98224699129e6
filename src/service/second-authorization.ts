import { SignetError } from "../errors.ts";
import {
  describeGrace,
  type Enforcement,
  enforcedLimits,
  isOver,
  type Ledger,
  type License,
  type LicenseTime,
  type Limits,
  licenseTimeAt,
  type RunTicket,
} from "../license/index.ts";
import type { AuthorizedService } from "./first-authorization.ts";
import { periodOf } from "./service-terms.ts";

/** A file was touched after the call came; native code does not wait for hashing, the call may try again. */
export class FilesTouchedError extends SignetError {
  constructor(service: string) {
    super("SERVICE_NOT_READY", `${service}: a file of it was touched just now and must be hashed again`);
  }
}

/**
 * Second authorization: what is checked again at every call, in microseconds. The license's and the service's
 * time by a clock that never goes back, the files on disk against what was verified, and the ledger.
 */
export class SecondAuthorization {
  readonly #licenseId: string;
  readonly #ledger: Ledger;
  readonly #service: AuthorizedService;
  readonly #notBeforeMs: number;
  readonly #expiresMs: number;
  readonly #graceDays: number;
  readonly #enforcement: Enforcement;
  readonly #limits: Limits;

  constructor(license: License, ledger: Ledger, service: AuthorizedService) {
    this.#licenseId = license.licenseId;
    this.#ledger = ledger;
    this.#service = service;
    this.#graceDays = license.graceDays;
    this.#enforcement = license.enforcement;
    this.#limits = enforcedLimits(service.conf.limits, license.enforcement);
    ({ fromMs: this.#notBeforeMs, expiresMs: this.#expiresMs } = periodOf(license, service.conf));
  }

  /** Where the service's time stands, the license's included. */
  get time(): LicenseTime {
    return licenseTimeAt(this.#ledger.nowMs, this.#expiresMs, this.#graceDays);
  }

  /**
   * Everything but the charge. A promise only where a file was touched and is being hashed again.
   * @throws CLOCK_SET_BACK, LICENSE_NOT_YET_VALID, LICENSE_EXPIRED, LIBRARY_CHANGED
   */
  verify(): Promise<void> | undefined {
    this.verifyTime();
    const { files } = this.#service;
    return files.areUntouched ? undefined : files.verifyAgain();
  }

  /** The license's and the service's time. @throws CLOCK_SET_BACK, LICENSE_NOT_YET_VALID, LICENSE_EXPIRED */
  verifyTime(): void {
    const { name } = this.#service.conf;
    // Time itself is the ledger's and goes on; but a server that is started now would not start.
    this.#ledger.verifyClock();
    if (this.#ledger.nowMs < this.#notBeforeMs) {
      throw new SignetError("LICENSE_NOT_YET_VALID", `${name}: starts ${new Date(this.#notBeforeMs).toISOString()}`);
    }
    if (isOver(this.time, this.#enforcement)) {
      const expires = new Date(this.#expiresMs).toISOString();
      throw new SignetError(
        "LICENSE_EXPIRED",
        `${name}: expired ${expires}${describeGrace({ graceDays: this.#graceDays })}`,
      );
    }
  }

  /**
   * Verifies and charges one run, right before native code may start.
   * @throws as `verify`; LICENSE_RUNS_EXHAUSTED, LICENSE_RUN_TIME_EXHAUSTED, LEDGER_UNWRITABLE; and FilesTouchedError
   */
  begin(): RunTicket {
    this.verifyTime();
    if (!this.#service.files.areUntouched) throw new FilesTouchedError(this.#service.conf.name);
    return this.#ledger.charge(this.#licenseId, this.#service.conf.name, this.#limits);
  }

  /**
   * What is known of a charge before there is one: time, and whether runs and run time are left.
   * @throws CLOCK_SET_BACK, LICENSE_NOT_YET_VALID, LICENSE_EXPIRED, LICENSE_RUNS_EXHAUSTED, LICENSE_RUN_TIME_EXHAUSTED
   */
  verifyLeft(): void {
    this.verifyTime();
    this.#ledger.verifyLeft(this.#licenseId, this.#service.conf.name, this.#limits);
  }

  /** The run starts: its time counts. */
  start(ticket: RunTicket): void {
    this.#ledger.start(ticket);
  }

  /** Takes a run back that native code never began. */
  takeBack(ticket: RunTicket): void {
    this.#ledger.cancel(ticket);
  }

  /** Ends a run and charges its time. */
  end(ticket: RunTicket): void {
    this.#ledger.settle(ticket);
  }

  /** Runs the license still has for the service; null for unlimited. */
  get runsLeft(): number | null {
    const { runs } = this.#service.conf.limits;
    if (runs === null) return null;
    return Math.max(0, runs - this.#ledger.totals(this.#licenseId, this.#service.conf.name).runs);
  }
}
