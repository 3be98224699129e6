import { SignetError } from "../errors.ts";
import { keyIdOf, type TrustedIssuer, verifyChain, verifyIssuedInTime } from "./certificates.ts";
import { parseDocument } from "./document.ts";
import { type Envelope, envelopeKinds, parseEnvelope } from "./envelope.ts";
import { readSmallFile } from "./read-file.ts";
import { type License, type RevocationList, revocationListSchema } from "./schema.ts";
import { isSignedBy } from "./sign.ts";
import type { TrustRoot } from "./trust-root.ts";

/** Which list of which signer: numbers of one signer only grow. */
export interface RevocationNumber {
  /** The pinned root that the list is for; it says nothing of other vendors' licenses. */
  readonly rootKeyId: string;
  /** The root itself, or an issuer below it. */
  readonly signerKeyId: string;
  readonly number: number;
}

/** A list whose signature was verified. Only parseRevocationList makes one. */
export type SignedRevocationList = Readonly<RevocationList> & RevocationNumber;

export function readRevocationListFile(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: envelopeKinds.revocation.maxBytes,
    missing: "FILE_UNREADABLE",
    tooLarge: "REVOCATION_LIST_INVALID",
    what: "a revocation list",
  });
}

/**
 * A list signed by a pinned root (no certificate in the file) or by an issuer below it. Only a root may withdraw
 * issuers: a thief of one issuer's key could otherwise stop every other issuer's licenses.
 *
 * @throws REVOCATION_LIST_INVALID
 */
export function parseRevocationList(file: Uint8Array, roots: readonly TrustRoot[]): SignedRevocationList {
  const envelope = parseEnvelope(file, envelopeKinds.revocation);
  const signer = findSigner(envelope, roots);
  const key = signer === "root" ? rootKey(envelope, roots) : signer.publicKey;
  if (key === undefined || !isSignedBy(envelope, key)) throw invalid("expected a signature by a pinned vendor");
  const list = parseDocument(revocationListSchema, envelope.payload, {
    what: "revocation list",
    code: "REVOCATION_LIST_INVALID",
  });
  if (signer !== "root") {
    asInvalidList(() => verifyIssuedInTime(signer, new Date(list.issuedAt)));
    if (list.issuers.length > 0) throw invalid("issuers: only a list signed by the root may withdraw issuers");
  }
  const rootKeyId = signer === "root" ? envelope.keyId : rootKeyIdOf(signer);
  return { ...list, rootKeyId, signerKeyId: envelope.keyId };
}

export function isSameSigner(a: RevocationNumber, b: RevocationNumber): boolean {
  return a.rootKeyId === b.rootKeyId && a.signerKeyId === b.signerKeyId;
}

/**
 * Every list that this host has honored before is still here, or a newer one of the same signer: deleting a list, or
 * putting an older one in its place, brings no withdrawn license back. Only the license's own vendor's lists count.
 *
 * @param honored what the ledger remembers
 * @throws REVOCATION_LIST_SUPERSEDED
 */
export function verifyListsCurrent(
  issuer: TrustedIssuer,
  lists: readonly RevocationNumber[],
  honored: readonly RevocationNumber[],
): void {
  const rootKeyId = rootKeyIdOf(issuer);
  for (const seen of honored) {
    if (seen.rootKeyId !== rootKeyId) continue;
    const found = Math.max(0, ...lists.filter((list) => isSameSigner(list, seen)).map(({ number }) => number));
    if (found >= seen.number) continue;
    throw new SignetError(
      "REVOCATION_LIST_SUPERSEDED",
      `revocation list ${seen.number} of the key ${seen.signerKeyId} was used here, found ${found || "none"}`,
    );
  }
}

/**
 * What is on any of its vendor's lists is withdrawn; a newer list cannot take a name off an older one that is still
 * here. Another vendor's list says nothing, or one vendor could stop another's licenses.
 *
 * @throws LICENSE_REVOKED
 */
export function verifyNotRevoked(
  license: License,
  issuer: TrustedIssuer,
  lists: readonly SignedRevocationList[],
): void {
  const rootKeyId = rootKeyIdOf(issuer);
  for (const { rootKeyId: listRoot, number, licenses, issuers } of lists) {
    if (listRoot !== rootKeyId) continue;
    if (licenses.includes(license.licenseId)) {
      throw new SignetError("LICENSE_REVOKED", `license ${license.licenseId}: withdrawn by revocation list ${number}`);
    }
    if (issuers.includes(issuer.keyId)) {
      throw new SignetError("LICENSE_REVOKED", `issuer key ${issuer.keyId}: withdrawn by revocation list ${number}`);
    }
  }
}

function rootKeyIdOf(issuer: TrustedIssuer): string {
  return keyIdOf(issuer.chain.at(-1)!.publicKey);
}

function findSigner(envelope: Envelope, roots: readonly TrustRoot[]): TrustedIssuer | "root" {
  if (envelope.certificates.length === 0) return "root";
  const certificates = roots.map((root) => root.certificate);
  return asInvalidList(() => verifyChain(envelope.certificates, certificates));
}

function rootKey(envelope: Envelope, roots: readonly TrustRoot[]) {
  return roots.find((root) => root.keyId === envelope.keyId)?.certificate.publicKey;
}

function asInvalidList<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw invalid(SignetError.from(error).message);
  }
}

function invalid(reason: string): SignetError {
  return new SignetError("REVOCATION_LIST_INVALID", `revocation list: ${reason}`);
}
