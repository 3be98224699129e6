import { type Ledger, type License, warningsOf } from "../license/index.ts";
import type { Log } from "../telemetry/index.ts";

/**
 * Writes each warning of a license into the log once, and hands it on, when it is first true. A renewed license starts
 * anew.
 */
export class LicenseReminders {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #onWarning: (license: License, message: string) => void;
  #license: License | undefined;
  readonly #said = new Set<string>();

  constructor(ledger: Ledger, log: Log, onWarning: (license: License, message: string) => void = () => undefined) {
    this.#onWarning = onWarning;
    this.#ledger = ledger;
    this.#log = log;
  }

  check(license: License): void {
    if (license !== this.#license) this.#said.clear();
    this.#license = license;
    const { licenseId } = license;
    const usageOf = (service: string) => this.#ledger.totals(licenseId, service);
    for (const { key, message } of warningsOf(license, this.#ledger.nowMs, usageOf)) {
      if (this.#said.has(key)) continue;
      this.#said.add(key);
      this.#log.warn({ licenseId, enforcement: license.enforcement }, message);
      this.#onWarning(license, message);
    }
  }
}
