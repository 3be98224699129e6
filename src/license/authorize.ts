import { type TrustedIssuer, verifyIssuedInTime } from "./certificates.ts";
import { decryptConf } from "./conf.ts";
import { verifyConfAgrees } from "./conf-agreement.ts";
import { unwrapContentKey } from "./content-key.ts";
import type { LicenseTime } from "./enforcement.ts";
import type { FingerprintMatch } from "./fingerprint.ts";
import type { HostKey } from "./host-key.ts";
import { verifyClock } from "./ledger-state.ts";
import type { Machine } from "./machine-fact.ts";
import {
  type RevocationNumber,
  type SignedRevocationList,
  verifyListsCurrent,
  verifyNotRevoked,
} from "./revocation.ts";
import type { License, LicenseConf } from "./schema.ts";
import type { TrustRoot } from "./trust-root.ts";
import {
  parseLicense,
  parseLicenseEnvelope,
  verifyConfDigests,
  verifyFingerprint,
  verifyHostKey,
  verifyIssuer,
  verifyNotDeactivated,
  verifyProduct,
  verifySequence,
  verifySignature,
  verifyTime,
} from "./verify.ts";

export interface SignedLicense {
  readonly license: License;
  readonly issuer: TrustedIssuer;
}

/** Is this a license of a pinned vendor? What can be said without the host, for inspecting and issuing. */
export function verifySignedLicense(file: Uint8Array, roots: readonly TrustRoot[]): SignedLicense {
  const envelope = parseLicenseEnvelope(file);
  const issuer = verifyIssuer(envelope, roots);
  const payload = verifySignature(envelope, issuer);
  const license = parseLicense(payload);
  verifyIssuedInTime(issuer, new Date(license.issuedAt));
  verifyProduct(license);
  return { license, issuer };
}

export interface AuthorizationInput {
  /** The bytes of license.lic. */
  readonly licenseFile: Uint8Array;
  /** The bytes of license.conf. */
  readonly confFile: Uint8Array;
  readonly roots: readonly TrustRoot[];
  readonly revocationLists: readonly SignedRevocationList[];
  /** The lists that this host has honored before. The ledger knows. */
  readonly revocationNumbers: readonly RevocationNumber[];
  /** The highest sequence this host has used of a license id; 0 for none. The ledger knows. */
  highestSequence(licenseId: string): number;
  /** Whether this host has given a license back. The ledger knows. */
  isDeactivated(licenseId: string): boolean;
  /** What the wall clock says. */
  readonly now: Date;
  /** The latest time that this host has seen, ms since 1970; left out where nothing is known. The ledger knows. */
  readonly highWaterMs?: number;
  readonly hostKey: HostKey;
  readonly machine: Machine;
}

/** A license that holds on this host, now. Only authorizeLicense makes one. */
export interface AuthorizedLicense extends SignedLicense {
  readonly conf: LicenseConf;
  readonly time: LicenseTime;
  readonly fingerprint: FingerprintMatch;
  readonly [authorized]: true;
}
declare const authorized: unique symbol;

/** First authorization up to the two license files; the ledger and the libraries come after it. */
export async function authorizeLicense(input: AuthorizationInput): Promise<AuthorizedLicense> {
  const { license, issuer } = verifySignedLicense(input.licenseFile, input.roots);
  verifyListsCurrent(issuer, input.revocationLists, input.revocationNumbers);
  verifyNotRevoked(license, issuer, input.revocationLists);
  verifySequence(license, input.highestSequence(license.licenseId));
  verifyNotDeactivated(license, input.isDeactivated(license.licenseId));
  const { now, highWaterMs = 0 } = input;
  verifyClock(now.getTime(), highWaterMs);
  const time = verifyTime(license, new Date(Math.max(now.getTime(), highWaterMs)));
  verifyHostKey(license, input.hostKey);
  const fingerprint = await verifyFingerprint(license, input.machine);
  verifyConfDigests(license, input.confFile);
  const secret = unwrapContentKey(license.conf.contentKey, input.hostKey.wrapping, license);
  const conf = decryptConf(input.confFile, secret);
  verifyConfAgrees(license, conf);
  return { license, issuer, conf, time, fingerprint } as unknown as AuthorizedLicense;
}
