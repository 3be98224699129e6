import { SignetError } from "../../src/errors.ts";
import {
  createFile,
  envelopeKinds,
  formatJson,
  keyIdOf,
  PRODUCT,
  parseRevocationList,
  parseTrustRoot,
  type RevocationList,
} from "../../src/license/index.ts";
import { appendRegister, readRegister, withRegisterLock } from "./register.ts";
import { lastListNumber, withdrawnLines } from "./register-rules.ts";
import { type Signer, signDocument } from "./signer.ts";
import { readVendorCertificates } from "./vendor-directory.ts";

export interface WithdrawInput {
  readonly vendorDirectory: string;
  readonly licenses: readonly string[];
  /** Key ids; then the signer is the root, since only a root's list may withdraw issuers. */
  readonly issuers: readonly string[];
  readonly reason: string | null;
  readonly signer: Signer;
  /** The new list; must not exist. */
  readonly out: string;
  readonly now: Date;
}

/**
 * Makes the next revocation list: all that the register says was ever withdrawn, and what is withdrawn now. A list of
 * the issuer holds the licenses alone; hosts keep the root's list beside it.
 *
 * @throws REGISTER_TAMPERED, FILE_EXISTS, VENDOR_SIGNER_FAILED
 */
export async function withdraw(input: WithdrawInput): Promise<RevocationList> {
  const { vendorDirectory: directory, licenses, issuers, signer, now } = input;
  return await withRegisterLock(directory, async () => {
    const vendor = await readVendorCertificates(directory);
    const register = await readRegister(directory, vendor);
    const earlier = withdrawnLines(register.lines);
    const isRoot = signer.certificates.length === 0;
    const list: RevocationList = {
      v: 1,
      product: PRODUCT,
      number: lastListNumber(register.lines) + 1,
      issuedAt: now.toISOString(),
      licenses: union(...earlier.map((line) => line.licenses), licenses),
      issuers: isRoot ? union(...earlier.map((line) => line.issuers), issuers) : [...issuers],
    };
    const text = await signDocument(signer, envelopeKinds.revocation, formatJson(list));
    // As a host will; an issuer's list that names issuers ends here.
    parseRevocationList(Buffer.from(text), [parseTrustRoot(Buffer.from(vendor.root.toString()))]);
    const entry = { event: "withdrawn" as const, number: list.number, licenses: [...licenses], issuers: [...issuers] };
    await appendRegister(directory, register, { ...entry, reason: input.reason }, signer, now);
    await createFile(input.out, text, 0o644);
    return list;
  });
}

/** @throws USAGE for what is no key id of an issuer that this vendor has, or had */
export async function verifyIssuerKeyIds(directory: string, keyIds: readonly string[]): Promise<void> {
  const { issuers } = await readVendorCertificates(directory);
  const known = issuers.map(({ publicKey }) => keyIdOf(publicKey));
  for (const keyId of keyIds) {
    if (known.includes(keyId)) continue;
    throw new SignetError(
      "USAGE",
      `--issuer: expected the whole key id of one of this vendor's issuers, found ${keyId}`,
    );
  }
}

function union(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort();
}
