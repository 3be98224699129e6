import { type Ledger, type License, licenseTimeAt } from "../license/index.ts";
import { type Inference, type LicenseUpkeep, periodOf, remainingOf, serviceRefusal } from "../service/index.ts";
import type { Scrape } from "./scrape.ts";

const DAY_MS = 86_400_000;
const phases = ["valid", "grace", "expired"] as const;

export interface LicenseParts {
  readonly inference: Inference;
  readonly ledger: Ledger;
  readonly upkeep: Pick<LicenseUpkeep, "license" | "isRenewalRefused">;
}

/** What the license in force says, and what is left of it. */
export function collectLicense(scrape: Scrape, { inference, ledger, upkeep }: LicenseParts): void {
  const { license } = upkeep;
  const { licenseId, sequence, kind, enforcement } = license;
  scrape.add("signet_license_info", { license_id: licenseId, sequence: `${sequence}`, kind, enforcement }, 1);
  scrape.add("signet_license_renewal_refused", {}, upkeep.isRenewalRefused ? 1 : 0);
  scrape.add("signet_ledger_fault", {}, ledger.fault === null ? 0 : 1);
  for (const { conf } of inference.services) collectService(scrape, license, conf, ledger);
}

type ServiceConf = Inference["services"][number]["conf"];

function collectService(scrape: Scrape, license: License, conf: ServiceConf, ledger: Ledger): void {
  const of = { service: conf.name, version: conf.version };
  const { expiresMs } = periodOf(license, conf);
  const { phase } = licenseTimeAt(ledger.nowMs, expiresMs, license.graceDays);
  scrape.add("signet_license_expiry_timestamp_seconds", of, expiresMs / 1000);
  scrape.add("signet_license_days_left", of, (expiresMs - ledger.nowMs) / DAY_MS);
  scrape.addState("signet_license_phase", phases, phase, (phase) => ({ ...of, phase }));
  scrape.add("signet_license_refused", of, serviceRefusal(license, conf, ledger, ledger.nowMs) === null ? 0 : 1);
  const used = ledger.totals(license.licenseId, conf.name);
  const { runsLeft, runTimeLeftMs } = remainingOf(license, conf, ledger);
  scrape.add("signet_license_runs_charged_total", of, used.runs);
  scrape.add("signet_license_run_time_charged_seconds_total", of, used.runTimeMs / 1000);
  if (conf.limits.runs !== null) scrape.add("signet_license_runs_limit", of, conf.limits.runs);
  if (runsLeft !== null) scrape.add("signet_license_runs_left", of, runsLeft);
  if (runTimeLeftMs !== null) scrape.add("signet_license_run_time_left_seconds", of, runTimeLeftMs / 1000);
}
