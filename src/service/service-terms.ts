import type { ErrorCode } from "../errors.ts";
import type { License, Limits } from "../license/index.ts";

const DAY_MS = 86_400_000;

/** A service as the license names it, or as license.conf does. */
interface Termed {
  readonly name: string;
  readonly limits: Limits;
}

/** What the ledger knows of use; a Ledger or a LedgerState. */
export interface UsageTotals {
  totals(licenseId: string, service: string): { readonly runs: number; readonly runTimeMs: number };
}

/** When calls of the service may run: the license's time and the service's own, days of grace included, ms. */
export function periodOf(license: License, { limits }: Termed): { readonly fromMs: number; readonly untilMs: number } {
  const { notBefore, expires } = limits;
  const ends = [license.expires, ...(expires === null ? [] : [expires])].map((text) => Date.parse(text));
  return {
    fromMs: Math.max(Date.parse(license.notBefore), notBefore === null ? 0 : Date.parse(notBefore)),
    untilMs: Math.min(...ends) + license.graceDays * DAY_MS,
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
  const { fromMs, untilMs } = periodOf(license, service);
  if (nowMs < fromMs) return "LICENSE_NOT_YET_VALID";
  if (nowMs >= untilMs) return "LICENSE_EXPIRED";
  const { runsLeft, runTimeLeftMs } = remainingOf(license, service, ledger);
  if (runsLeft === 0) return "LICENSE_RUNS_EXHAUSTED";
  return runTimeLeftMs === 0 ? "LICENSE_RUN_TIME_EXHAUSTED" : null;
}
