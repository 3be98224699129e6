import type { Enforcement, Limits } from "./schema.ts";

/**
 * What happens at a license's ends. `strict`: after the days of grace nothing runs, and not one run more than
 * licensed. `grace`: as many days, and 5 % more runs and run time. `advisory`: its ends only warn. Whether a license
 * has begun, how long one job may take and how many run at once is enforced in every mode.
 */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const OVERRUN_PERCENT = 5;

export interface LicenseTime {
  /** In grace everything still runs, with warnings; `expired` is reached by none that is refused, so advisory only. */
  readonly phase: "valid" | "grace" | "expired";
  /** Whole days until the phase ends, where an hour counts for nothing: 365 of a fresh year. 0 once expired. */
  readonly daysLeft: number;
}

/** Where a license, or a service that ends earlier, stands at a moment. All times ms since 1970. */
export function licenseTimeAt(nowMs: number, expiresMs: number, graceDays: number): LicenseTime {
  if (nowMs < expiresMs) return { phase: "valid", daysLeft: daysBetween(nowMs, expiresMs) };
  const graceEndsMs = expiresMs + graceDays * DAY_MS;
  if (nowMs < graceEndsMs) return { phase: "grace", daysLeft: daysBetween(nowMs, graceEndsMs) };
  return { phase: "expired", daysLeft: 0 };
}

/** Whether what has expired may not run. */
export function isOver({ phase }: LicenseTime, enforcement: Enforcement): boolean {
  return phase === "expired" && enforcement !== "advisory";
}

/** The limits that the ledger holds a service to; null is unlimited. */
export function enforcedLimits(limits: Limits, enforcement: Enforcement): Limits {
  const { runs, runTimeMs } = limits;
  return { ...limits, runs: enforcedLimit(runs, enforcement), runTimeMs: enforcedLimit(runTimeMs, enforcement) };
}

function enforcedLimit(limit: number | null, enforcement: Enforcement): number | null {
  if (limit === null || enforcement === "strict") return limit;
  if (enforcement === "grace") return limit + Math.floor((limit * OVERRUN_PERCENT) / 100);
  // A number rather than none: leases then start small, and a crash costs an advisory license little too.
  return Number.MAX_SAFE_INTEGER;
}

function daysBetween(fromMs: number, toMs: number): number {
  return Math.floor((toMs - fromMs + HOUR_MS) / DAY_MS);
}
