import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import forge from "node-forge";
import { licenseIssuingExtension } from "../../src/license/index.ts";

const ROOT_YEARS = 20;
const ISSUER_YEARS = 2;
/** Clocks differ: a certificate made now must already be valid on a host that is a little behind. */
const CLOCK_TOLERANCE_MS = 24 * 3600 * 1000;

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A self-signed CA certificate that may sign issuers and nothing below them. */
export function createRootCertificate(vendor: string, keys: KeyPair, now: Date): X509Certificate {
  return createCertificate({
    subject: `${vendor} Signet root`,
    vendor,
    publicKey: keys.publicKey,
    signer: { subject: `${vendor} Signet root`, keys },
    now,
    years: ROOT_YEARS,
    extensions: [
      { name: "basicConstraints", critical: true, cA: true, pathLenConstraint: 0 },
      { name: "keyUsage", critical: true, keyCertSign: true, cRLSign: true },
    ],
  });
}

/** A certificate for one purpose: signing licenses. It cannot sign other certificates. */
export function createIssuerCertificate(
  vendor: string,
  publicKey: KeyObject,
  root: KeyPair,
  now: Date,
): X509Certificate {
  return createCertificate({
    subject: `${vendor} Signet license issuer`,
    vendor,
    publicKey,
    signer: { subject: `${vendor} Signet root`, keys: root },
    now,
    years: ISSUER_YEARS,
    extensions: [
      { name: "basicConstraints", critical: true, cA: false },
      { name: "keyUsage", critical: true, digitalSignature: true },
      { id: "2.5.29.37", critical: true, value: asn1FromDer(licenseIssuingExtension) },
    ],
  });
}

/** Exported by forge, but forgotten in its types. */
const { getTBSCertificate } = forge.pki as unknown as {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
};

interface CertificateInput {
  subject: string;
  vendor: string;
  publicKey: KeyObject;
  signer: { subject: string; keys: KeyPair };
  now: Date;
  years: number;
  extensions: object[];
}

/**
 * Forge lays out the certificate; node:crypto supplies the public key's bytes and the signature. So the subject's key
 * may be of a kind that forge cannot put into a certificate (Ed25519), and signing takes milliseconds.
 */
function createCertificate(input: CertificateInput): X509Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.serialNumber = positiveSerialNumber();
  certificate.validity.notBefore = new Date(input.now.getTime() - CLOCK_TOLERANCE_MS);
  certificate.validity.notAfter = new Date(input.now);
  certificate.validity.notAfter.setUTCFullYear(input.now.getUTCFullYear() + input.years);
  certificate.setSubject(distinguishedName(input.vendor, input.subject));
  certificate.setIssuer(distinguishedName(input.vendor, input.signer.subject));
  certificate.setExtensions([
    ...input.extensions,
    keyIdentifier("2.5.29.14", forge.asn1.Type.OCTETSTRING, input.publicKey),
    keyIdentifier("2.5.29.35", 0, input.signer.keys.publicKey),
  ]);
  // Only a stand-in with the right place in the structure: its bytes are replaced below.
  certificate.publicKey = forge.pki.publicKeyFromPem(
    input.signer.keys.publicKey.export({ type: "spki", format: "pem" }).toString(),
  );
  const algorithm = forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.SEQUENCE, true, [
    oid(forge.pki.oids.sha256WithRSAEncryption!),
    forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.NULL, false, ""),
  ]);
  certificate.signatureOid = forge.pki.oids.sha256WithRSAEncryption!;
  certificate.siginfo.algorithmOid = forge.pki.oids.sha256WithRSAEncryption!;
  const toBeSigned = getTBSCertificate(certificate);
  const fields = toBeSigned.value as forge.asn1.Asn1[];
  fields[SUBJECT_PUBLIC_KEY_INFO] = asn1FromDer(spkiOf(input.publicKey));
  const signature = sign("sha256", derOf(toBeSigned), input.signer.keys.privateKey);
  const signed = forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.SEQUENCE, true, [
    toBeSigned,
    algorithm,
    forge.asn1.create(
      forge.asn1.Class.UNIVERSAL,
      forge.asn1.Type.BITSTRING,
      false,
      `\0${signature.toString("latin1")}`,
    ),
  ]);
  return new X509Certificate(derOf(signed));
}

/** Position in TBSCertificate: version, serial, algorithm, issuer, validity, subject, key (RFC 5280 section 4.1). */
const SUBJECT_PUBLIC_KEY_INFO = 6;

/** 16 random bytes, the first made neither zero nor negative so that the DER integer is valid as it stands. */
function positiveSerialNumber(): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial.toString("hex");
}

function distinguishedName(vendor: string, commonName: string): forge.pki.CertificateField[] {
  const valueTagClass = forge.asn1.Type.UTF8 as unknown as forge.asn1.Class;
  return [
    { name: "organizationName", value: vendor, valueTagClass },
    { name: "commonName", value: commonName, valueTagClass },
  ];
}

/** The subject's own key identifier, or with tag 0 the authority's, wrapped in its sequence. */
function keyIdentifier(id: string, tag: number, key: KeyObject): object {
  const hash = createHash("sha256").update(spkiOf(key)).digest().subarray(0, 20).toString("latin1");
  const identifier = forge.asn1.create(
    tag === 0 ? forge.asn1.Class.CONTEXT_SPECIFIC : forge.asn1.Class.UNIVERSAL,
    tag,
    false,
    hash,
  );
  const value =
    tag === 0
      ? forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.SEQUENCE, true, [identifier])
      : identifier;
  return { id, critical: false, value };
}

function oid(value: string): forge.asn1.Asn1 {
  const body = forge.asn1.oidToDer(value).getBytes();
  return forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.OID, false, body);
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function asn1FromDer(der: Buffer): forge.asn1.Asn1 {
  return forge.asn1.fromDer(der.toString("latin1"));
}

function derOf(node: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), "latin1");
}
