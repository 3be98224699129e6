import { createHash } from "node:crypto";
import { SignetError } from "../../src/errors.ts";
import type { DeactivationReceipt, LedgerHead, Limits } from "../../src/license/index.ts";
import type { Issued, RegisterLine, Withdrawn } from "./register.ts";

/**
 * What the register decides about the next license. All of it looks at lines that were verified, and changes nothing.
 */

/** The name a host's key has in the register: SHA-256 of its SPKI DER, hex, as `signet host show` prints it. */
export function hostKeyIdOf({ signingKey }: { readonly signingKey: string }): string {
  return createHash("sha256").update(Buffer.from(signingKey, "base64")).digest("hex");
}

function issuedLines(lines: readonly RegisterLine[]): (RegisterLine & Issued)[] {
  return lines.filter((line): line is RegisterLine & Issued => line.event === "issued");
}

export function withdrawnLines(lines: readonly RegisterLine[]): (RegisterLine & Withdrawn)[] {
  return lines.filter((line): line is RegisterLine & Withdrawn => line.event === "withdrawn");
}

/** The highest number of a revocation list that the register knows of; hosts refuse the next list below it. */
export function lastListNumber(lines: readonly RegisterLine[]): number {
  return lines.reduce((highest, line) => {
    if (line.event === "withdrawn") return Math.max(highest, line.number);
    return line.event === "rebuilt" ? Math.max(highest, line.revocationNumber) : highest;
  }, 0);
}

/** The last license issued under an id; undefined for an id that the register does not know. */
export function lastIssued(lines: readonly RegisterLine[], licenseId: string): (RegisterLine & Issued) | undefined {
  return issuedLines(lines).findLast((line) => line.licenseId === licenseId);
}

/**
 * A ledger only grows: what a host quotes is at least what it, or a receipt of it, quoted before. Less means that its
 * ledger was put back to an older copy, and runs since then would be free.
 *
 * @param quoted undefined from a host that says it has no ledger
 * @throws HOST_LEDGER_WENT_BACK
 */
export function verifyLedgerAdvanced(
  lines: readonly RegisterLine[],
  hostKeyId: string,
  quoted: LedgerHead | undefined,
): void {
  for (const earlier of quotedBy(lines, hostKeyId)) {
    const reason = setback(earlier, quoted);
    if (reason !== undefined) {
      throw new SignetError("HOST_LEDGER_WENT_BACK", `the ledger of host ${hostKeyId.slice(0, 16)}: ${reason}`);
    }
  }
}

function quotedBy(lines: readonly RegisterLine[], hostKeyId: string): LedgerHead[] {
  const heads: LedgerHead[] = [];
  for (const line of issuedLines(lines)) {
    if (line.hostKeyId === hostKeyId) {
      // What was accepted once is not held against the host again: its ledger counts from there.
      if (line.rollbackAccepted !== null) heads.length = 0;
      if (line.ledger !== null) heads.push(line.ledger);
    }
    if (line.movedFrom?.hostKeyId === hostKeyId) heads.push(line.movedFrom.ledger);
  }
  return heads;
}

function setback(earlier: LedgerHead, quoted: LedgerHead | undefined): string | undefined {
  if (quoted === undefined) return `expected record ${earlier.sequence} or later, found no ledger`;
  if (quoted.sequence < earlier.sequence) {
    return `expected record ${earlier.sequence} or later, found ${quoted.sequence}`;
  }
  if (quoted.sequence === earlier.sequence && quoted.mac !== earlier.mac) {
    return `record ${earlier.sequence} is another one than it was`;
  }
  // Totals are those of one license, and only the same one's can be compared.
  if (quoted.licenseId !== earlier.licenseId) return undefined;
  for (const [service, was] of Object.entries(earlier.totals)) {
    const is = quoted.totals[service] ?? { runs: 0, runTimeMs: 0 };
    if (is.runs < was.runs) return `expected ${was.runs} or more runs of ${service}, found ${is.runs}`;
    if (is.runTimeMs < was.runTimeMs) {
      return `expected ${was.runTimeMs} or more ms of ${service}, found ${is.runTimeMs}`;
    }
  }
  return undefined;
}

/** A host key has one trial, whatever its services; a trial is not renewed as a trial. @throws TRIAL_USED */
export function verifyFirstTrial(lines: readonly RegisterLine[], hostKeyId: string): void {
  const earlier = issuedLines(lines).find((line) => line.kind === "trial" && line.hostKeyId === hostKeyId);
  if (earlier === undefined) return;
  const when = earlier.at.slice(0, 10);
  throw new SignetError("TRIAL_USED", `host ${hostKeyId.slice(0, 16)}: had the trial ${earlier.licenseId} on ${when}`);
}

/**
 * The number goes on where the register left off: for the same host, above every sequence, and not of a license that
 * has moved away.
 *
 * @throws HOST_KEY_MISMATCH, USAGE, ALREADY_MOVED
 */
export function verifyNumber(
  lines: readonly RegisterLine[],
  { licenseId, sequence }: { licenseId: string; sequence: number },
  hostKeyId: string,
): void {
  const last = lastIssued(lines, licenseId);
  if (last === undefined) return;
  if (last.hostKeyId !== hostKeyId) {
    throw new SignetError("HOST_KEY_MISMATCH", `license ${licenseId}: was issued for another host than the request's`);
  }
  if (sequence <= last.sequence) {
    throw new SignetError(
      "USAGE",
      `license ${licenseId}: expected a sequence above ${last.sequence}, found ${sequence}`,
    );
  }
  verifyNotMoved(lines, licenseId);
}

/** @throws ALREADY_MOVED */
function verifyNotMoved(lines: readonly RegisterLine[], licenseId: string): void {
  if (lines.some((line) => line.event === "rebuilt" && line.moved.includes(licenseId))) {
    throw new SignetError("ALREADY_MOVED", `license ${licenseId}: was given back before the register was rebuilt`);
  }
  const successor = issuedLines(lines).find((line) => line.movedFrom?.licenseId === licenseId);
  if (successor === undefined) return;
  throw new SignetError("ALREADY_MOVED", `license ${licenseId}: has become ${successor.licenseId}`);
}

/**
 * What hosts with the vendor's lists would refuse is not issued.
 *
 * @param licenseId the license that is renewed or moved; a new one cannot have been withdrawn
 * @throws ALREADY_WITHDRAWN
 */
export function verifyNotWithdrawn(lines: readonly RegisterLine[], licenseId: string, issuerKeyId: string): void {
  for (const { licenses, issuers, at } of withdrawnLines(lines)) {
    const what = licenses.includes(licenseId) ? `license ${licenseId}` : `issuer ${issuerKeyId.slice(0, 16)}`;
    if (!licenses.includes(licenseId) && !issuers.includes(issuerKeyId)) continue;
    throw new SignetError("ALREADY_WITHDRAWN", `${what}: was withdrawn on ${at.slice(0, 10)}`);
  }
}

/**
 * The license that a receipt gives back: issued by this vendor, for the very host that signed the receipt, and not
 * moved before.
 *
 * @throws RECEIPT_INVALID, ALREADY_MOVED
 */
export function verifyMove(lines: readonly RegisterLine[], receipt: DeactivationReceipt): RegisterLine & Issued {
  const { licenseId } = receipt;
  const last = lastIssued(lines, licenseId);
  if (last === undefined) {
    throw new SignetError("RECEIPT_INVALID", `license ${licenseId}: is not in the register`);
  }
  if (last.hostKeyId !== hostKeyIdOf(receipt)) {
    throw new SignetError("RECEIPT_INVALID", `license ${licenseId}: was issued for another host than the receipt's`);
  }
  verifyNotMoved(lines, licenseId);
  return last;
}

/** What is left of a service's limits after what the receipt says was used; unlimited stays unlimited. */
export function remainingLimits(limits: Limits, old: Limits | undefined, used: LedgerHead["totals"][string]): Limits {
  if (old === undefined) return limits;
  const left = (limit: number | null, amount: number) => (limit === null ? null : Math.max(0, limit - amount));
  return { ...limits, runs: left(old.runs, used.runs), runTimeMs: left(old.runTimeMs, used.runTimeMs) };
}
