import { SignetError } from "../../src/errors.ts";
import {
  type DeactivationReceipt,
  keyIdOf,
  type License,
  parseDeactivationReceipt,
  parseHostRequest,
} from "../../src/license/index.ts";
import { createLicenseNumber, type IssueInput, issueLicense, type LicenseNumber } from "./issue-license.ts";
import { appendRegister, type Issued, type Register, readRegister, withRegisterLock } from "./register.ts";
import {
  hostKeyIdOf,
  remainingLimits,
  verifyFirstTrial,
  verifyLedgerAdvanced,
  verifyMove,
  verifyNotWithdrawn,
  verifyNumber,
} from "./register-rules.ts";
import type { ServiceDescription } from "./service-description.ts";
import { readVendorCertificates } from "./vendor-directory.ts";

export interface RegisteredIssueInput extends Omit<IssueInput, "number" | "record"> {
  /** Where the register lies. */
  readonly vendorDirectory: string;
  /** Which license is renewed; undefined for a new one. The register may know a higher sequence. */
  readonly renewed: ((register: Register) => LicenseNumber) | undefined;
  /** The bytes of a deactivation receipt, whose license goes on under a new id on the request's host. */
  readonly movedFrom: Uint8Array | undefined;
  /** Why a ledger that went backwards is accepted; undefined to refuse it. */
  readonly acceptRollback: string | undefined;
}

/**
 * Issues a license as `issueLicense` does, where the register allows it, and writes it down there.
 *
 * @throws HOST_LEDGER_WENT_BACK, TRIAL_USED, RECEIPT_INVALID, ALREADY_MOVED, ALREADY_WITHDRAWN, REGISTER_TAMPERED,
 *   HOST_KEY_MISMATCH, and what issueLicense throws
 */
export async function issueRegistered(input: RegisteredIssueInput): Promise<License> {
  const { vendorDirectory: directory, vendor, now } = input;
  const request = parseHostRequest(input.request);
  const hostKeyId = hostKeyIdOf(request.host);
  return await withRegisterLock(directory, async () => {
    const register = await readRegister(directory, await readVendorCertificates(directory));
    const { lines } = register;
    const number = input.renewed?.(register) ?? createLicenseNumber();
    verifyNumber(lines, number, hostKeyId);
    verifyNotWithdrawn(lines, number.licenseId, keyIdOf(vendor.issuer.publicKey));
    const isRollback = acceptable(input, () => verifyLedgerAdvanced(lines, hostKeyId, request.ledger));
    if (input.description.kind === "trial") verifyFirstTrial(lines, hostKeyId);
    const move = input.movedFrom === undefined ? undefined : readMove(input, register, input.movedFrom);
    const description = move === undefined ? input.description : carryOver(input.description, move);
    const record = async (license: License) => {
      const entry: Issued = {
        event: "issued",
        ...number,
        kind: license.kind,
        customer: license.customer,
        requestId: license.requestId,
        hostKeyId,
        expires: license.expires,
        services: Object.fromEntries(license.services.map(({ name, limits }) => [name, limits])),
        ledger: request.ledger ?? null,
        rollbackAccepted: isRollback || move?.isRollback ? (input.acceptRollback ?? null) : null,
        movedFrom: move === undefined ? null : move.from,
      };
      await appendRegister(directory, register, entry, vendor.signer, now);
    };
    return await issueLicense({ ...input, description, number, record });
  });
}

/** Whether a check refused what the vendor accepts. */
function acceptable({ acceptRollback }: RegisteredIssueInput, check: () => void): boolean {
  try {
    check();
    return false;
  } catch (error) {
    if (acceptRollback !== undefined && error instanceof SignetError && error.code === "HOST_LEDGER_WENT_BACK")
      return true;
    throw error;
  }
}

interface Move {
  readonly old: Issued;
  readonly receipt: DeactivationReceipt;
  readonly from: NonNullable<Issued["movedFrom"]>;
  readonly isRollback: boolean;
}

function readMove(input: RegisteredIssueInput, { lines }: Register, file: Uint8Array): Move {
  const receipt = parseDeactivationReceipt(file);
  const old = verifyMove(lines, receipt);
  const { licenseId, ledger } = receipt;
  verifyNotWithdrawn(lines, licenseId, keyIdOf(input.vendor.issuer.publicKey));
  const isRollback = acceptable(input, () => verifyLedgerAdvanced(lines, old.hostKeyId, ledger));
  return { old, receipt, from: { licenseId, hostKeyId: old.hostKeyId, ledger }, isRollback };
}

/** The services as described now, with the runs and the run time that were left on the old host. */
function carryOver(description: ServiceDescription, { old, receipt }: Move): ServiceDescription {
  const services = description.services.map((service) => {
    const used = receipt.ledger.totals[service.name] ?? { runs: 0, runTimeMs: 0 };
    return { ...service, limits: remainingLimits(service.limits, old.services[service.name], used) };
  });
  return { ...description, services };
}
