import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { SignetError } from "../errors.ts";

/**
 * Extended key usage of a certificate that may sign Signet licenses. The arc 2.25 turns a UUID into an object
 * identifier that needs no registration (ITU-T X.667); this one is 967b3130-6118-4693-9d57-f1b74cf7d5b7.
 */
export const LICENSE_ISSUING_OID = "2.25.200023849552408937811423486829435278775";

/** The same as the DER value of an extKeyUsage extension, for writers whose numbers end at 2^53. */
export const licenseIssuingExtension = Buffer.from("301606146982acfb98cc8c91c29aa79dabfcb6f4e7dfab37", "hex");

const MIN_RSA_BITS = 3072;
const RSA_EXPONENT = 65537n;

/**
 * A certificate, or undefined for bytes that are not exactly one DER certificate with a name, a key of a known kind and
 * dates that exist. OpenSSL reads many without, and what is asked of them later would throw, or compare as false.
 */
export function parseCertificate(der: Uint8Array): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    const { raw, publicKey } = certificate;
    // Node gives undefined for an empty name, whatever its types say.
    const subject: string | undefined = certificate.subject;
    const isWhole = subject !== undefined && publicKey !== undefined && hasDates(certificate);
    return isWhole && raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The texts are asked, because Node gives validFromDate and validToDate out of memory that it never filled where OpenSSL
 * cannot read the time: a date that changes from call to call, where the text always says that the time is bad.
 */
function hasDates({ validFrom, validTo, validFromDate, validToDate }: X509Certificate): boolean {
  return Date.parse(validFrom) === validFromDate.getTime() && Date.parse(validTo) === validToDate.getTime();
}

/** SHA-256 of the public key's SPKI DER, hex: the name a key has in envelopes, file names and revocation lists. */
export function keyIdOf(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ format: "der", type: "spki" }))
    .digest("hex");
}

/**
 * What is wrong with a key for signing licenses, or undefined. Small exponents invite forged padding (CVE-2026-33894).
 */
export function weaknessOfKey(publicKey: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent } = publicKey.asymmetricKeyDetails ?? {};
  switch (publicKey.asymmetricKeyType) {
    case "ed25519":
      return undefined;
    case "rsa":
      if (modulusLength < MIN_RSA_BITS) return `an RSA key of ${modulusLength} bits, fewer than ${MIN_RSA_BITS}`;
      if (publicExponent !== RSA_EXPONENT) return `an RSA key with exponent ${publicExponent}, not ${RSA_EXPONENT}`;
      return undefined;
    default:
      return `a ${publicKey.asymmetricKeyType} key, neither RSA nor Ed25519`;
  }
}

/** A certificate that chains to a pinned root and may sign licenses. Only verifyChain makes one. */
export interface TrustedIssuer {
  readonly certificate: X509Certificate;
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** The issuer, the intermediate if there is one, and the root. */
  readonly chain: readonly X509Certificate[];
  readonly [verified]: true;
}
declare const verified: unique symbol;

/**
 * The path from the signer's certificate to a pinned root. `checkIssued` and `verify` alone accept a leaf that
 * signed another leaf, so every certificate above the first must be a CA. Validity in time is verifyIssuedInTime.
 *
 * @throws LICENSE_UNTRUSTED
 */
export function verifyChain(
  certificates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): TrustedIssuer {
  const [issuer, intermediate] = certificates;
  if (issuer === undefined) throw untrusted("the file holds no issuer certificate");
  if (certificates.length > 2) throw untrusted("the chain is longer than issuer, intermediate and root");
  if (issuer.ca) throw untrusted("the issuer certificate is a CA; a license is signed by a leaf");
  // Node names the *extended* key usages keyUsage.
  if (!issuer.keyUsage?.includes(LICENSE_ISSUING_OID)) {
    throw untrusted("the issuer certificate is not meant for license issuing");
  }
  const last = intermediate ?? issuer;
  const root = roots.find((candidate) => isIssuedBy(last, candidate));
  if (root === undefined) throw untrusted(`no pinned root has issued the certificate ${subjectOf(last)}`);
  if (intermediate !== undefined && !isIssuedBy(issuer, intermediate)) {
    throw untrusted("the second certificate did not issue the first, or is not a CA");
  }
  const chain = [...certificates, root];
  for (const certificate of chain) {
    const weakness = weaknessOfKey(certificate.publicKey) ?? weaknessOfSignature(certificate);
    if (weakness !== undefined) throw untrusted(`the certificate ${subjectOf(certificate)} has ${weakness}`);
  }
  const trusted = { certificate: issuer, keyId: keyIdOf(issuer.publicKey), publicKey: issuer.publicKey, chain };
  return trusted as unknown as TrustedIssuer;
}

/**
 * Every certificate of the chain was valid when the license was issued. Not now: a license may outlive the
 * certificate that signed it, or changing keys would stop every customer. A stolen key is a matter of revocation.
 *
 * @throws LICENSE_UNTRUSTED
 */
export function verifyIssuedInTime(issuer: TrustedIssuer, issuedAt: Date): void {
  for (const certificate of issuer.chain) {
    if (issuedAt < certificate.validFromDate || issuedAt > certificate.validToDate) {
      throw untrusted(
        `the certificate ${subjectOf(certificate)} was not valid at ${issuedAt.toISOString()}, when the license was issued`,
      );
    }
  }
}

/** Certificates signed with these are refused even if their own key is strong: SHA-1 and MD5 can be made to collide. */
export function weaknessOfSignature(certificate: X509Certificate): string | undefined {
  const algorithm = certificate.signatureAlgorithm ?? "an unknown algorithm";
  return /^(sha(256|384|512)WithRSAEncryption|rsassaPss|ED25519)$/i.test(algorithm)
    ? undefined
    : `a signature by ${algorithm}`;
}

export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** A certificate's subject on one line, without anything a terminal would obey. */
export function subjectOf(certificate: X509Certificate): string {
  return certificate.subject
    .replaceAll("\n", ", ")
    .replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, "?")
    .slice(0, 200);
}

function untrusted(reason: string): SignetError {
  return new SignetError("LICENSE_UNTRUSTED", reason);
}
