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
      if (code !== refusal?.code) findings.problem(`also ${code}`, message, new SignetError(code, message).next);
    }
    reportTime(findings, status);
    for (const service of status.services) reportRuns(findings, service, status);
    reportServing(findings, status);
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

function reportTime(findings: Findings, { time, expires, graceDays, enforcement }: LicenseStatus): void {
  if (time === null) return; // its code is among the problems
  const until = expires.slice(0, 10);
  const inDays = time.daysLeft === 1 ? "1 day" : `${time.daysLeft} days`;
  if (time.phase === "expired" && enforcement === "advisory") {
    findings.note("time", `expired ${until}; goes on, as the license's enforcement is advisory`, RENEW_NEXT);
  } else if (time.phase !== "valid") {
    findings.problem("time", `expired ${until}; ${time.daysLeft} of ${graceDays} days of grace are left`, RENEW_NEXT);
  } else if (time.daysLeft <= RENEW_DAYS) {
    findings.note("time", `expires ${until}, in ${inDays}`, RENEW_NEXT);
  } else {
    findings.ok("time", `expires ${until}, in ${inDays}`);
  }
}

function reportRuns(
  findings: Findings,
  { name, runsLeft, runsLimit }: LicenseStatus["services"][number],
  { enforcement }: LicenseStatus,
): void {
  if (runsLimit === null || runsLeft === null) return;
  const check = `runs of ${name}`;
  const found = `${runsLeft} of ${runsLimit} left`;
  if (runsLeft === 0 && enforcement !== "advisory") findings.problem(check, found, RENEW_NEXT);
  else if (runsLeft < runsLimit * FEW_RUNS) findings.note(check, found, RENEW_NEXT);
  else findings.ok(check, found);
}

/** The license of a running server need not be the one that is installed. */
function reportServing(findings: Findings, { serving, licenseId, sequence }: LicenseStatus): void {
  if (serving === null) return;
  if (serving.refused !== null) {
    const { code, message } = serving.refused;
    findings.error("in force", new SignetError(code, `the server keeps the license before this one: ${message}`));
  } else if (serving.licenseId !== licenseId || serving.sequence !== sequence) {
    const next = "Wait some seconds, or send the server SIGHUP; its log says why if it stays so.";
    findings.note("in force", "the server has another license in force than the installed one", next);
  } else {
    findings.ok("in force", "the running server uses this license");
  }
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
