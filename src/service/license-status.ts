import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import {
  describeDrift,
  type Enforcement,
  type FingerprintMatch,
  type LedgerState,
  type License,
  type LicensedService,
  type LicenseKind,
  type LicenseTime,
  loadTrustRoots,
  matchFingerprint,
  readConfFile,
  verifyClock,
  verifyConfDigests,
  verifyFingerprint,
  verifyHostKey,
  verifyListsCurrent,
  verifyNotDeactivated,
  verifyNotRevoked,
  verifySequence,
  verifyTime,
  warningsOf,
} from "../license/index.ts";
import { compareFile } from "../plugin/index.ts";
import { loadRevocationLists } from "./first-authorization.ts";
import { readHostLedger } from "./host-ledger.ts";
import { readInstalledLicense } from "./installed-license.ts";
import { openOwnHostKey } from "./own-host-key.ts";
import { readHostMachine } from "./read-host-machine.ts";
import { remainingOf, serviceRefusal } from "./service-terms.ts";
import { readServingState, type ServingState } from "./serving-state.ts";

/** Why the license would be refused now. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface ServiceStatus {
  readonly name: string;
  readonly version: string;
  /** null where the ledger cannot be read. */
  readonly runsUsed: number | null;
  /** null for unlimited, as all limits. */
  readonly runsLimit: number | null;
  readonly runsLeft: number | null;
  readonly runTimeUsedMs: number | null;
  readonly runTimeLimitMs: number | null;
  readonly runTimeLeftMs: number | null;
  readonly jobTimeLimitMs: number | null;
  readonly concurrency: number;
  readonly notBefore: string;
  /** The earlier of the license's and the service's own. */
  readonly expires: string;
  /** Why its calls are refused although the license holds, such as LICENSE_RUNS_EXHAUSTED. */
  readonly refusal: ErrorCode | null;
}

export interface LicenseStatus {
  readonly licenseId: string;
  readonly sequence: number;
  readonly kind: LicenseKind;
  readonly vendor: string;
  readonly customer: string;
  readonly issuedAt: string;
  readonly notBefore: string;
  readonly expires: string;
  readonly graceDays: number;
  readonly enforcement: Enforcement;
  /** null when its time is not now. */
  readonly time: LicenseTime | null;
  readonly hostMatch: FingerprintMatch;
  /** How the machine differs within its tolerance, in the words of the log; null where it does not. */
  readonly drift: string | null;
  /** Empty where the license holds. */
  readonly problems: readonly Problem[];
  /** What is about to end or is nearly used, in the words of the server's log. */
  readonly warnings: readonly string[];
  /** What a running server has in force, which need not be the installed one; null where none runs. */
  readonly serving: ServingState | null;
  readonly services: readonly ServiceStatus[];
}

/**
 * What the installed license says and what is left of it, also where it would be refused: then `problems` says why.
 * Every licensed file is hashed where it lies, so models of gigabytes take their seconds; what a file depends on is
 * not looked at. Changes nothing and works beside a running server, whose last second of use may be missing.
 *
 * @throws LICENSE_*, TRUST_ROOT_*, HOST_KEY_*: without them there is nothing to tell
 */
export async function readLicenseStatus(data: DataDirectory): Promise<LicenseStatus> {
  const { license, issuer } = await readInstalledLicense(data);
  const hostKey = await openOwnHostKey(data);
  const machine = await readHostMachine();
  const problems: Problem[] = [];
  const attempt = async <T>(step: () => T | Promise<T>): Promise<T | null> => {
    try {
      return await step();
    } catch (error) {
      const { code, message } = SignetError.from(error);
      problems.push({ code, message });
      return null;
    }
  };

  const ledger = await attempt(() => readHostLedger(data, hostKey));
  await attempt(async () => {
    const lists = await loadRevocationLists(data.revocationDir, await loadTrustRoots(data.trustDir));
    verifyListsCurrent(issuer, lists, ledger?.revocationNumbers ?? []);
    verifyNotRevoked(license, issuer, lists);
  });
  await attempt(() => verifySequence(license, ledger?.highestSequence(license.licenseId) ?? 0));
  await attempt(() => verifyNotDeactivated(license, ledger?.isDeactivated(license.licenseId) ?? false));
  const now = new Date(Math.max(Date.now(), ledger?.highWaterMs ?? 0));
  const time = await attempt(() => {
    if (ledger) verifyClock(Date.now(), ledger.highWaterMs);
    return verifyTime(license, now);
  });
  await attempt(() => verifyHostKey(license, hostKey));
  const hostMatch =
    (await attempt(() => verifyFingerprint(license, machine))) ?? (await matchFingerprint(license.host, machine));

  await attempt(async () => verifyConfDigests(license, await readConfFile(join(data.licenseDir, "license.conf"))));
  for (const { name, files } of license.services) {
    const directory = join(data.licenseDir, "files", name);
    for (const file of files) await attempt(() => compareFile(join(directory, file.name), file));
  }

  const { licenseId, sequence, kind, vendor, customer, issuedAt, notBefore, expires, graceDays, enforcement } = license;
  const usageOf = (service: string) => ledger?.totals(licenseId, service) ?? null;
  const services = license.services.map((service) => statusOf(license, service, ledger, now));
  // By a clock that is wrong there is nothing to say of days.
  const isClockWrong = problems.some(({ code }) => code === "CLOCK_SET_BACK");
  const warnings = isClockWrong ? [] : warningsOf(license, now.getTime(), usageOf).map(({ message }) => message);
  return {
    ...{ licenseId, sequence, kind, vendor, customer, issuedAt, notBefore, expires, graceDays, enforcement },
    ...{ time, hostMatch, drift: describeDrift(hostMatch), problems, services },
    warnings,
    serving: readServingState(data),
  };
}

function statusOf(license: License, service: LicensedService, ledger: LedgerState | null, now: Date): ServiceStatus {
  const { limits } = service;
  const used = ledger?.totals(license.licenseId, service.name) ?? null;
  const remaining = ledger === null ? { runsLeft: null, runTimeLeftMs: null } : remainingOf(license, service, ledger);
  return {
    name: service.name,
    version: service.version,
    runsUsed: used?.runs ?? null,
    runsLimit: limits.runs,
    runTimeUsedMs: used?.runTimeMs ?? null,
    runTimeLimitMs: limits.runTimeMs,
    ...remaining,
    jobTimeLimitMs: limits.jobTimeMs,
    concurrency: limits.concurrency,
    notBefore: later(license.notBefore, limits.notBefore),
    expires: earlier(license.expires, limits.expires),
    refusal: ledger === null ? null : serviceRefusal(license, service, ledger, now.getTime()),
  };
}

function later(a: string, b: string | null): string {
  return b !== null && Date.parse(b) > Date.parse(a) ? b : a;
}

function earlier(a: string, b: string | null): string {
  return b !== null && Date.parse(b) < Date.parse(a) ? b : a;
}
