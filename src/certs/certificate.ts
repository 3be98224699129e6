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

/** What a certificate says, but for who signs it. */
interface CertificateContent {
  readonly subject: DistinguishedName;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** As forge takes them; key identifiers are added. */
  readonly extensions: readonly object[];
}

export interface CertificateInput extends CertificateContent {
  /** Its keys may be RSA or P-256. */
  readonly signer: { readonly subject: DistinguishedName; readonly keys: KeyPair };
}

export interface CertificateDraftInput extends CertificateContent {
  readonly signer: {
    readonly subject: DistinguishedName;
    readonly publicKey: KeyObject;
    readonly algorithm: SignatureAlgorithm;
  };
}

/** A certificate that lacks its signature, for a key that is elsewhere. */
export interface CertificateDraft {
  /** The DER of TBSCertificate: what is signed. */
  readonly toBeSigned: Buffer;
  /** The certificate with that signature, which the caller has verified. */
  complete(signature: Buffer): X509Certificate;
}

/** Exported by forge, but forgotten in its types. */
const { getTBSCertificate } = forge.pki as unknown as {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
};

/** Position in TBSCertificate: version, serial, algorithm, issuer, validity, subject, key (RFC 5280 section 4.1). */
const SIGNATURE_ALGORITHM = 2;
const SUBJECT_PUBLIC_KEY_INFO = 6;
/** One that forge knows: sha256WithRSAEncryption. */
const STAND_IN_ALGORITHM = "1.2.840.113549.1.1.11";

/**
 * The DER of each AlgorithmIdentifier, all with SHA-256. RFC 4055 wants a NULL beside the RSA algorithm, and of PSS its
 * hash, MGF1 with the same hash, and the salt's 32 bytes; RFC 5758 and RFC 8410 forbid parameters beside the others.
 */
const algorithms = {
  "rsa-pkcs1": "300d06092a864886f70d01010b0500",
  "rsa-pss":
    "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609608648016503" +
    "0402010500a203020120",
  "ecdsa-p256": "300a06082a8648ce3d040302",
  ed25519: "300506032b6570",
} as const;
export type SignatureAlgorithm = keyof typeof algorithms;

export function createCertificate({ signer, ...content }: CertificateInput): X509Certificate {
  const { privateKey, publicKey } = signer.keys;
  const algorithm = privateKey.asymmetricKeyType === "rsa" ? "rsa-pkcs1" : "ecdsa-p256";
  const draft = draftCertificate({ ...content, signer: { subject: signer.subject, publicKey, algorithm } });
  return draft.complete(sign("sha256", draft.toBeSigned, privateKey));
}

export function draftCertificate(input: CertificateDraftInput): CertificateDraft {
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
    keyIdentifier("2.5.29.35", 0, signer.publicKey),
  ]);
  // Stand-ins with the right place in the structure: key and algorithm are replaced below.
  certificate.publicKey = forge.pki.rsa.setPublicKey(new forge.jsbn.BigInteger("3"), new forge.jsbn.BigInteger("3"));
  certificate.signatureOid = STAND_IN_ALGORITHM;
  certificate.siginfo.algorithmOid = STAND_IN_ALGORITHM;
  const algorithm = asn1FromDer(Buffer.from(algorithms[signer.algorithm], "hex"));
  const toBeSigned = getTBSCertificate(certificate);
  const fields = toBeSigned.value as forge.asn1.Asn1[];
  fields[SIGNATURE_ALGORITHM] = algorithm;
  fields[SUBJECT_PUBLIC_KEY_INFO] = asn1FromDer(spkiOf(publicKey));
  return {
    toBeSigned: derOf(toBeSigned),
    complete(signature) {
      const bits = universal(forge.asn1.Type.BITSTRING, `\0${signature.toString("latin1")}`);
      return new X509Certificate(derOf(sequence([toBeSigned, algorithm, bits])));
    },
  };
}

/** An ASN.1 value as forge keeps it, for extensions that it has no name for. */
export function asn1FromDer(der: Buffer): forge.asn1.Asn1 {
  return forge.asn1.fromDer(der.toString("latin1"));
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
