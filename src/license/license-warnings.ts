import { type LicenseTime, licenseTimeAt } from "./enforcement.ts";
import type { License, LicensedService } from "./schema.ts";

/** When the end of a license is worth a warning, days before. */
const WARNING_DAYS = [30, 14, 7, 1] as const;
/** When what is left of a service's runs or run time is, percent. */
const WARNING_PERCENTS = [10, 1] as const;

export interface LicenseWarning {
  /** What was reached. It changes when the next threshold is, so that each is said once. */
  readonly key: string;
  readonly message: string;
}

export interface Usage {
  readonly runs: number;
  readonly runTimeMs: number;
}

/**
 * What an operator should know before it hurts: a license or service that ends soon or has ended, runs and run time
 * that are nearly used.
 *
 * @param nowMs the later of the wall clock and the ledger's high-water mark
 * @param usageOf what a service has used under this license; null where that is not known
 */
export function warningsOf(
  license: License,
  nowMs: number,
  usageOf: (service: string) => Usage | null,
): LicenseWarning[] {
  const { expires, graceDays } = license;
  const time = warningOfTime("the license", Date.parse(expires), graceDays, nowMs);
  return [time, ...license.services.flatMap((service) => warningsOfService(license, service, nowMs, usageOf))].filter(
    (warning) => warning !== null,
  );
}

/** Whether clients are told too: from the first warning on. */
export function isNearEnd({ phase, daysLeft }: LicenseTime): boolean {
  return phase !== "valid" || daysLeft < WARNING_DAYS[0];
}

function warningsOfService(
  license: License,
  { name, limits }: LicensedService,
  nowMs: number,
  usageOf: (service: string) => Usage | null,
): (LicenseWarning | null)[] {
  const usage = usageOf(name);
  const endsEarlier = limits.expires !== null && Date.parse(limits.expires) < Date.parse(license.expires);
  return [
    endsEarlier ? warningOfTime(name, Date.parse(limits.expires!), license.graceDays, nowMs) : null,
    usage && warningOfUse(name, "runs", usage.runs, limits.runs, license),
    usage && warningOfUse(name, "run time", usage.runTimeMs, limits.runTimeMs, license),
  ];
}

function warningOfTime(subject: string, expiresMs: number, graceDays: number, nowMs: number): LicenseWarning | null {
  const time = licenseTimeAt(nowMs, expiresMs, graceDays);
  const when = new Date(expiresMs).toISOString();
  if (time.phase === "valid") {
    const threshold = WARNING_DAYS.findLast((days) => time.daysLeft < days);
    if (threshold === undefined) return null;
    return { key: `${subject} ends ${threshold}`, message: `${subject} expires ${when}, in ${inDays(time.daysLeft)}` };
  }
  // Once a day from here on: it is loud because what comes next is an outage, or a debt.
  const message =
    time.phase === "grace"
      ? `${subject} expired ${when} and runs in its grace, ${inDays(time.daysLeft)} left`
      : `${subject} expired ${when}`;
  return { key: `${subject} ${time.phase} ${Math.floor((nowMs - expiresMs) / 86_400_000)}`, message };
}

function warningOfUse(
  service: string,
  what: "runs" | "run time",
  used: number,
  limit: number | null,
  { enforcement }: License,
): LicenseWarning | null {
  if (limit === null) return null;
  const unit = what === "runs" ? "" : " ms";
  if (used >= limit) {
    const over = used > limit ? `, and ${used - limit}${unit} more` : "";
    const consequence = enforcement === "strict" ? "" : `; enforcement is ${enforcement}`;
    const message = `${service}: all ${limit}${unit} of its licensed ${what} are used${over}${consequence}`;
    return { key: `${service} ${what} used${used > limit ? " and more" : ""}`, message };
  }
  const threshold = WARNING_PERCENTS.findLast((percent) => (limit - used) * 100 < limit * percent);
  if (threshold === undefined) return null;
  const message = `${service}: less than ${threshold} % of its licensed ${what} is left, ${limit - used} of ${limit}${unit}`;
  return { key: `${service} ${what} ${threshold}`, message };
}

function inDays(days: number): string {
  if (days === 0) return "less than a day";
  return days === 1 ? "1 day" : `${days} days`;
}
