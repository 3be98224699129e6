import type { ErrorCode } from "../errors.ts";
import { enforcedLimits, isOver, type License, type Limits, licenseTimeAt } from "../license/index.ts";

/** A service as the license names it, or as license.conf does. */
interface Termed {
  readonly name: string;
  readonly limits: Limits;
}

/** What the ledger knows of use; a Ledger or a LedgerState. */
export interface UsageTotals {
  totals(licenseId: string, service: string): { readonly runs: number; readonly runTimeMs: number };
}

/** The service's own time within the license's, ms; what happens at its end is the license's enforcement. */
export function periodOf(
  license: License,
  { limits }: Termed,
): { readonly fromMs: number; readonly expiresMs: number } {
  const { notBefore, expires } = limits;
  return {
    fromMs: Math.max(Date.parse(license.notBefore), notBefore === null ? 0 : Date.parse(notBefore)),
    expiresMs: Math.min(Date.parse(license.expires), expires === null ? Number.POSITIVE_INFINITY : Date.parse(expires)),
  };
}

/** What is left of the service's runs and run time; null for unlimited. */
export function remainingOf(license: License, { name, limits }: Termed, ledger: UsageTotals) {
  const used = ledger.totals(license.licenseId, name);
  return {
    runsLeft: limits.runs === null ? null : Math.max(0, limits.runs - used.runs),
    runTimeLeftMs: limits.runTimeMs === null ? null : Math.max(0, limits.runTimeMs - used.runTimeMs),
  };
}

/** The code that second authorization would refuse a call with, from what the license alone says; null for none. */
export function serviceRefusal(
  license: License,
  service: Termed,
  ledger: UsageTotals,
  nowMs: number,
): ErrorCode | null {
  const { fromMs, expiresMs } = periodOf(license, service);
  if (nowMs < fromMs) return "LICENSE_NOT_YET_VALID";
  if (isOver(licenseTimeAt(nowMs, expiresMs, license.graceDays), license.enforcement)) return "LICENSE_EXPIRED";
  const enforced = { ...service, limits: enforcedLimits(service.limits, license.enforcement) };
  const { runsLeft, runTimeLeftMs } = remainingOf(license, enforced, ledger);
  if (runsLeft === 0) return "LICENSE_RUNS_EXHAUSTED";
  return runTimeLeftMs === 0 ? "LICENSE_RUN_TIME_EXHAUSTED" : null;
}
