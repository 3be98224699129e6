import { timingSafeEqual } from "node:crypto";
import { SignetError } from "../errors.ts";
import { type TrustedIssuer, verifyChain } from "./certificates.ts";
import { MAX_CONF_BYTES } from "./conf.ts";
import { digestsOf, sameDigests } from "./digests.ts";
import { parseDocument } from "./document.ts";
import { describeMismatch } from "./drift.ts";
import { isOver, type LicenseTime, licenseTimeAt } from "./enforcement.ts";
import { type Envelope, envelopeKinds, parseEnvelope } from "./envelope.ts";
import { type FingerprintMatch, matchFingerprint } from "./fingerprint.ts";
import type { HostKey } from "./host-key.ts";
import type { Machine } from "./machine-fact.ts";
import { readSmallFile } from "./read-file.ts";
import { type License, licenseSchema, PRODUCT } from "./schema.ts";
import { isSignedBy } from "./sign.ts";
import type { TrustRoot } from "./trust-root.ts";

/**
 * The steps of first authorization that concern license.lic and license.conf, in their order; authorize.ts takes
 * them one after another. Each throws a code of its own.
 */

const DAY_MS = 86_400_000;
// A clock this far behind the moment of issue was set back: no time zone explains it.
const CLOCK_TOLERANCE_MS = DAY_MS;

export function readLicenseFile(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: envelopeKinds.license.maxBytes,
    missing: "LICENSE_MISSING",
    tooLarge: "LICENSE_TOO_LARGE",
    what: "a license",
  });
}

export function readConfFile(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: MAX_CONF_BYTES,
    missing: "CONF_MISSING",
    tooLarge: "LICENSE_TOO_LARGE",
    what: "a configuration",
  });
}

export function parseLicenseEnvelope(file: Uint8Array): Envelope {
  return parseEnvelope(file, envelopeKinds.license);
}

export function verifyIssuer(envelope: Envelope, roots: readonly TrustRoot[]): TrustedIssuer {
  return verifyChain(
    envelope.certificates,
    roots.map((root) => root.certificate),
  );
}

/** Asks the roots that are pinned now about an issuer that was trusted before. @throws LICENSE_UNTRUSTED */
export function verifyStillTrusted({ chain }: TrustedIssuer, roots: readonly TrustRoot[]): void {
  verifyChain(
    chain.slice(0, -1), // without the root: that is what is looked for
    roots.map((root) => root.certificate),
  );
}

/** Payload bytes whose signature was verified. Only verifySignature makes them, only parseLicense takes them. */
export type SignedPayload = Buffer & { readonly [signed]: true };
declare const signed: unique symbol;

export function verifySignature(envelope: Envelope, issuer: TrustedIssuer): SignedPayload {
  if (!isSignedBy(envelope, issuer.publicKey)) {
    throw new SignetError(
      "LICENSE_SIGNATURE_INVALID",
      `${envelope.kind.what}: the signature is not by the key ${issuer.keyId} over these bytes`,
    );
  }
  return envelope.payload as SignedPayload;
}

export function parseLicense(payload: SignedPayload): License {
  const license = parseDocument(licenseSchema, payload, { what: "license.lic", code: "LICENSE_PAYLOAD_INVALID" });
  const invalid = (reason: string) => new SignetError("LICENSE_PAYLOAD_INVALID", `license.lic: ${reason}`);
  if (Date.parse(license.notBefore) >= Date.parse(license.expires))
    throw invalid("expires: expected later than notBefore");
  if (Buffer.from(license.host.salt, "base64").length !== 32) throw invalid("host.salt: expected 32 bytes");
  if (hasRepeats(license.services.map((service) => service.name))) throw invalid("services: a name is there twice");
  for (const { name, files } of license.services) {
    if (hasRepeats(files.map((file) => file.name))) throw invalid(`services.${name}.files: a name is there twice`);
  }
  return license;
}

export function verifyProduct(license: License): void {
  if (license.product !== PRODUCT) {
    throw new SignetError(
      "LICENSE_WRONG_PRODUCT",
      `license.lic: expected the product ${PRODUCT}, found ${license.product}`,
    );
  }
}

/** @param highestSeen the highest sequence this host has used of this license id; 0 for none. */
export function verifySequence(license: License, highestSeen: number): void {
  if (license.sequence < highestSeen) {
    throw new SignetError(
      "LICENSE_SUPERSEDED",
      `license.lic: expected sequence ${highestSeen} or higher, found ${license.sequence}`,
    );
  }
}

/** @param isDeactivated whether this host has given the license back, for good. */
export function verifyNotDeactivated(license: License, isDeactivated: boolean): void {
  if (isDeactivated) {
    throw new SignetError("LICENSE_DEACTIVATED", `license ${license.licenseId}: was given back on this host`);
  }
}

/** @param now the later of the wall clock and the ledger's high-water mark. */
export function verifyTime(license: License, now: Date): LicenseTime {
  const nowMs = now.getTime();
  if (nowMs < Date.parse(license.issuedAt) - CLOCK_TOLERANCE_MS) {
    throw new SignetError(
      "CLOCK_SET_BACK",
      `the clock says ${now.toISOString()}, but the license was issued ${license.issuedAt}`,
    );
  }
  if (nowMs < Date.parse(license.notBefore)) {
    throw new SignetError(
      "LICENSE_NOT_YET_VALID",
      `license.lic: starts ${license.notBefore}, and it is ${now.toISOString()}`,
    );
  }
  const time = licenseTimeAt(nowMs, Date.parse(license.expires), license.graceDays);
  if (isOver(time, license.enforcement)) {
    throw new SignetError(
      "LICENSE_EXPIRED",
      `license.lic: expired ${license.expires}${describeGrace(license)}, and it is ${now.toISOString()}`,
    );
  }
  return time;
}

/** For a sentence that says when a license expired; nothing where it had no grace. */
export function describeGrace({ graceDays }: Pick<License, "graceDays">): string {
  if (graceDays === 0) return "";
  return graceDays === 1 ? " with 1 day of grace" : ` with ${graceDays} days of grace`;
}

export function verifyHostKey(license: License, hostKey: HostKey): void {
  const isSame =
    sameBytes(Buffer.from(license.host.signingKey, "base64"), hostKey.signingPublic) &&
    sameBytes(Buffer.from(license.host.wrappingKey, "base64"), hostKey.wrappingPublic);
  if (!isSame) throw new SignetError("HOST_KEY_MISMATCH", "license.lic: names another host key than this host's");
}

export async function verifyFingerprint(license: License, machine: Machine): Promise<FingerprintMatch> {
  const match = await matchFingerprint(license.host, machine);
  if (!match.isMatch) throw new SignetError("FINGERPRINT_MISMATCH", describeMismatch(match));
  return match;
}

export function verifyConfDigests(license: License, conf: Uint8Array): void {
  if (!sameDigests(digestsOf(conf), license.conf)) {
    throw new SignetError(
      "CONF_DIGEST_MISMATCH",
      "license.conf: size, MD5 or SHA-256 differ from those in license.lic",
    );
  }
}

function hasRepeats(names: readonly string[]): boolean {
  return new Set(names).size !== names.length;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
