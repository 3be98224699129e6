import { SignetError } from "../../errors.ts";
import { DRIFT_NEXT, describeHostMatch } from "../../license/index.ts";
import { reportSteps } from "../authorization-steps.ts";
import { authorizeFirst, type FirstAuthorization, type LedgerFacts } from "../first-authorization.ts";
import { readHostLedger } from "../host-ledger.ts";
import { type LicenseStatus, readLicenseStatus } from "../license-status.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";

/** From here on the operator should think of renewing, days. */
const RENEW_DAYS = 30;
/** A service with less than this share of its runs is worth a word. */
const FEW_RUNS = 0.1;

export interface LicenseExamination {
  readonly findings: Findings;
  /** Null where a step refused. */
  readonly first: FirstAuthorization<LedgerFacts> | null;
  readonly status: LicenseStatus | null;
}

/** Every step of first authorization as the server takes it, then time and usage. */
export async function examineLicense({ data }: Examination): Promise<LicenseExamination> {
  const findings = new Findings("license");
  let refusal: SignetError | null = null;
  let first: FirstAuthorization<LedgerFacts> | null = null;
  try {
    first = await authorizeFirst(data, (hostKey) => readHostLedger(data, hostKey));
  } catch (error) {
    refusal = SignetError.from(error);
  }
  const status = await readLicenseStatus(data).catch(() => null);
  reportAuthorization(findings, refusal);
  if (status !== null) {
    // The first refusal hides the later ones; an operator wants to repair them all in one go.
    for (const { code, message } of status.problems) {
      if (code !== refusal?.code) findings.error(`also ${code}`, new SignetError(code, message));
    }
    reportTime(findings, status);
    for (const service of status.services) reportRuns(findings, service);
  }
  return { findings, first, status };
}

function reportAuthorization(findings: Findings, refusal: SignetError | null): void {
  const steps = reportSteps(refusal);
  if (refusal === null) {
    findings.ok("authorization", `all ${steps.length} steps of first authorization hold`);
    return;
  }
  const index = steps.findIndex(({ state }) => state === "refused");
  const where = index < 0 ? "" : `step ${index + 1} of ${steps.length}, "${steps[index]!.step}": `;
  findings.problem("authorization", `${where}${refusal.code}: ${refusal.message}`, refusal.next);
}

const RENEW_NEXT = "Send a fresh `signet host request` to your vendor to renew.";

function reportTime(findings: Findings, { time, expires, graceDays }: LicenseStatus): void {
  if (time === null) return; // its code is among the problems
  const until = expires.slice(0, 10);
  if (time.phase !== "valid") {
    findings.problem("time", `expired ${until}; ${time.daysLeft} of ${graceDays} days of grace are left`, RENEW_NEXT);
  } else if (time.daysLeft <= RENEW_DAYS) {
    findings.note("time", `expires ${until}, in ${time.daysLeft} days`, RENEW_NEXT);
  } else {
    findings.ok("time", `expires ${until}, in ${time.daysLeft} days`);
  }
}

function reportRuns(findings: Findings, { name, runsLeft, runsLimit }: LicenseStatus["services"][number]): void {
  if (runsLimit === null || runsLeft === null) return;
  const check = `runs of ${name}`;
  const found = `${runsLeft} of ${runsLimit} left`;
  if (runsLeft === 0) findings.problem(check, found, RENEW_NEXT);
  else if (runsLeft < runsLimit * FEW_RUNS) findings.note(check, found, RENEW_NEXT);
  else findings.ok(check, found);
}

/** How this machine compares with the licensed one, in the words that log and status use too. */
export function examineHost(status: LicenseStatus | null): Findings {
  const findings = new Findings("host");
  if (status === null) {
    findings.note("match", "not compared: no license could be read", null);
    return findings;
  }
  const { hostMatch, drift } = status;
  const found = describeHostMatch(hostMatch);
  if (!hostMatch.isMatch) findings.problem("match", found, new SignetError("FINGERPRINT_MISMATCH", "").next);
  else if (drift !== null) findings.note("match", found, DRIFT_NEXT);
  else findings.ok("match", found);
  return findings;
}
