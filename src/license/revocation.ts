import { SignetError } from "../errors.ts";
import { type TrustedIssuer, verifyChain, verifyIssuedInTime } from "./certificates.ts";
import { parseDocument } from "./document.ts";
import { type Envelope, envelopeKinds, parseEnvelope } from "./envelope.ts";
import { readSmallFile } from "./read-file.ts";
import { type License, type RevocationList, revocationListSchema } from "./schema.ts";
import { isSignedBy } from "./sign.ts";
import type { TrustRoot } from "./trust-root.ts";

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
export function parseRevocationList(file: Uint8Array, roots: readonly TrustRoot[]): RevocationList {
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
  return list;
}

/** What is on any of the lists is withdrawn; a newer list cannot take a name off an older one that is still here. */
export function verifyNotRevoked(license: License, issuer: TrustedIssuer, lists: readonly RevocationList[]): void {
  for (const { number, licenses, issuers } of lists) {
    if (licenses.includes(license.licenseId)) {
      throw new SignetError("LICENSE_REVOKED", `license ${license.licenseId}: withdrawn by revocation list ${number}`);
    }
    if (issuers.includes(issuer.keyId)) {
      throw new SignetError("LICENSE_REVOKED", `issuer key ${issuer.keyId}: withdrawn by revocation list ${number}`);
    }
  }
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
