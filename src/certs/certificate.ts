import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import forge from "node-forge";

/**
 * Lays out X.509 certificates. node-forge only writes here: node:crypto supplies the public key's bytes and the
 * signature, and reads the finished certificate back. So keys may be of kinds that forge does not know (P-256,
 * Ed25519), and nothing untrusted is ever read by forge.
 */

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface DistinguishedName {
  readonly organization: string;
  readonly commonName: string;
}

export interface CertificateInput {
  readonly subject: DistinguishedName;
  readonly publicKey: KeyObject;
  /** Its keys may be RSA or P-256. */
  readonly signer: { readonly subject: DistinguishedName; readonly keys: KeyPair };
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** As forge takes them; key identifiers are added. */
  readonly extensions: readonly object[];
}

/** Exported by forge, but forgotten in its types. */
const { getTBSCertificate } = forge.pki as unknown as {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
};

/** Position in TBSCertificate: version, serial, algorithm, issuer, validity, subject, key (RFC 5280 section 4.1). */
const SIGNATURE_ALGORITHM = 2;
const SUBJECT_PUBLIC_KEY_INFO = 6;

/** RFC 4055 wants a NULL beside the RSA algorithm, RFC 5758 forbids one beside ECDSA. */
const algorithms = {
  rsa: { oid: "1.2.840.113549.1.1.11", parameters: [universal(forge.asn1.Type.NULL, "")] },
  ec: { oid: "1.2.840.10045.4.3.2", parameters: [] },
} as const;

export function createCertificate(input: CertificateInput): X509Certificate {
  const { signer, subject, publicKey } = input;
  const certificate = forge.pki.createCertificate();
  certificate.serialNumber = positiveSerialNumber();
  certificate.validity.notBefore = input.notBefore;
  certificate.validity.notAfter = input.notAfter;
  certificate.setSubject(fieldsOf(subject));
  certificate.setIssuer(fieldsOf(signer.subject));
  certificate.setExtensions([
    ...input.extensions,
    keyIdentifier("2.5.29.14", forge.asn1.Type.OCTETSTRING, publicKey),
    keyIdentifier("2.5.29.35", 0, signer.keys.publicKey),
  ]);
  // Stand-ins with the right place in the structure: key and algorithm are replaced below.
  certificate.publicKey = forge.pki.rsa.setPublicKey(new forge.jsbn.BigInteger("3"), new forge.jsbn.BigInteger("3"));
  certificate.signatureOid = algorithms.rsa.oid;
  certificate.siginfo.algorithmOid = algorithms.rsa.oid;
  const algorithm = algorithmOf(signer.keys.privateKey);
  const toBeSigned = getTBSCertificate(certificate);
  const fields = toBeSigned.value as forge.asn1.Asn1[];
  fields[SIGNATURE_ALGORITHM] = algorithm;
  fields[SUBJECT_PUBLIC_KEY_INFO] = asn1FromDer(spkiOf(publicKey));
  const signature = sign("sha256", derOf(toBeSigned), signer.keys.privateKey);
  return new X509Certificate(
    derOf(sequence([toBeSigned, algorithm, universal(forge.asn1.Type.BITSTRING, `\0${signature.toString("latin1")}`)])),
  );
}

/** An ASN.1 value as forge keeps it, for extensions that it has no name for. */
export function asn1FromDer(der: Buffer): forge.asn1.Asn1 {
  return forge.asn1.fromDer(der.toString("latin1"));
}

function algorithmOf(key: KeyObject): forge.asn1.Asn1 {
  const { oid, parameters } = algorithms[key.asymmetricKeyType as keyof typeof algorithms];
  const body = forge.asn1.oidToDer(oid).getBytes();
  return sequence([universal(forge.asn1.Type.OID, body), ...parameters]);
}

/** 16 random bytes, the first made neither zero nor negative so that the DER integer is valid as it stands. */
function positiveSerialNumber(): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial.toString("hex");
}

function fieldsOf({ organization, commonName }: DistinguishedName): forge.pki.CertificateField[] {
  const valueTagClass = forge.asn1.Type.UTF8 as unknown as forge.asn1.Class;
  return [
    { name: "organizationName", value: organization, valueTagClass },
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
  return { id, critical: false, value: tag === 0 ? sequence([identifier]) : identifier };
}

function universal(type: forge.asn1.Type, value: string): forge.asn1.Asn1 {
  return forge.asn1.create(forge.asn1.Class.UNIVERSAL, type, false, value);
}

function sequence(values: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(forge.asn1.Class.UNIVERSAL, forge.asn1.Type.SEQUENCE, true, values);
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function derOf(node: forge.asn1.Asn1): Buffer {
  return Buffer.from(forge.asn1.toDer(node).getBytes(), "latin1");
}
