import { createHash, X509Certificate } from "node:crypto";
import { SignetError } from "../../src/errors.ts";
import {
  type DeactivationReceipt,
  type Digests,
  digestsOf,
  type Envelope,
  envelopeKinds,
  type HostRequest,
  isSignedBy,
  keyIdOf,
  LICENSE_ISSUING_OID,
  type License,
  licenseSchema,
  MAX_CONF_BYTES,
  parseDeactivationReceipt,
  parseDocument,
  parseEnvelope,
  parseHostRequest,
  parseTrustRoot,
  type RevocationList,
  revocationListSchema,
  sameDigests,
  type TrustRoot,
  verifyChain,
  weaknessOfKey,
} from "../../src/license/index.ts";

/** Who signed a document and what that is worth. */
export interface SignatureFacts {
  /** Whether the signature is the signer's, over exactly these bytes; null when the signer's key is not known here. */
  readonly holds: boolean | null;
  readonly keyId: string;
  /** The subject of the signer's certificate; null where the key stands for itself. */
  readonly signer: string | null;
  /** The key id of the given root that the signer chains to; null when none was given. */
  readonly root: string | null;
}

export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly keyId: string;
  readonly key: string;
  readonly notBefore: string;
  readonly expires: string;
  readonly role: "root" | "issuer" | "other";
  /** Why the product would not use it, or null. */
  readonly weakness: string | null;
  readonly root: string | null;
}

/** What a file says, for people and for programs. `unknown` lists what no one can tell from the file alone. */
export type Inspection = { readonly unknown: readonly string[] } & (
  | { readonly kind: "host request"; readonly signature: SignatureFacts; readonly document: HostRequest }
  | { readonly kind: "license"; readonly signature: SignatureFacts; readonly document: License }
  | { readonly kind: "revocation list"; readonly signature: SignatureFacts; readonly document: RevocationList }
  | {
      readonly kind: "deactivation receipt";
      readonly signature: SignatureFacts;
      readonly document: DeactivationReceipt;
    }
  | { readonly kind: "configuration"; readonly document: Digests & { readonly licenseId: string | null } }
  | { readonly kind: "certificate"; readonly document: CertificateFacts }
  | { readonly kind: "private key"; readonly document: { readonly encrypted: boolean } }
);

export interface InspectionContext {
  /** The vendor's root, to say whether the signer is really the vendor. */
  readonly root?: TrustRoot | undefined;
  /** The license beside a configuration, to say whether they belong together. */
  readonly license?: Uint8Array | undefined;
}

const BLOCK_BYTES = 4096;

/**
 * Reads any file that Signet makes. Needs no secret, and believes nothing that it does not say.
 * @throws SignetError with the code of the kind of file it seems to be, FILE_UNREADABLE if it is none
 */
export function inspectFile(bytes: Uint8Array, context: InspectionContext = {}): Inspection {
  const label = /^\s*-----BEGIN ([A-Z0-9 ]{1,64})-----/.exec(
    Buffer.from(bytes.subarray(0, 200)).toString("latin1"),
  )?.[1];
  switch (label) {
    case envelopeKinds.request.pemLabel:
      return inspectRequest(bytes);
    case envelopeKinds.license.pemLabel:
      return inspectLicense(bytes, context);
    case envelopeKinds.revocation.pemLabel:
      return inspectRevocationList(bytes, context);
    case envelopeKinds.receipt.pemLabel:
      return inspectReceipt(bytes);
    case "CERTIFICATE":
      return inspectCertificate(bytes, context);
    case "ENCRYPTED PRIVATE KEY":
    case "PRIVATE KEY":
      return { kind: "private key", document: { encrypted: label !== "PRIVATE KEY" }, unknown: ["whose key it is"] };
    default:
      return inspectConf(bytes, context);
  }
}

function inspectRequest(bytes: Uint8Array): Inspection {
  const document = parseHostRequest(bytes);
  const keyId = keyIdOfSpki(document.host.signingKey);
  return {
    kind: "host request",
    signature: { holds: true, keyId, signer: null, root: null },
    document,
    unknown: [
      "the hardware's serial numbers: the request holds salted hashes of them",
      "whether the hardware is what the host said: only the host could see it",
    ],
  };
}

function inspectLicense(bytes: Uint8Array, { root }: InspectionContext): Inspection {
  const envelope = parseEnvelope(bytes, envelopeKinds.license);
  const signature = signatureOf(envelope, root);
  const what = { what: "license.lic", code: "LICENSE_PAYLOAD_INVALID" } as const;
  return {
    kind: "license",
    signature,
    document: parseDocument(licenseSchema, envelope.payload, what),
    unknown: [
      ...unknownSigner(signature),
      "the plugins' settings and tensors: license.conf opens only with the host's key",
      "whether this is the licensed host, and what is left of its runs: `signet license status` says that there",
    ],
  };
}

function inspectRevocationList(bytes: Uint8Array, { root }: InspectionContext): Inspection {
  const envelope = parseEnvelope(bytes, envelopeKinds.revocation);
  const signature = signatureOf(envelope, root);
  const what = { what: "revocation list", code: "REVOCATION_LIST_INVALID" } as const;
  return {
    kind: "revocation list",
    signature,
    document: parseDocument(revocationListSchema, envelope.payload, what),
    unknown: [...unknownSigner(signature), "whether the vendor has made a newer list"],
  };
}

function inspectReceipt(bytes: Uint8Array): Inspection {
  const document = parseDeactivationReceipt(bytes);
  return {
    kind: "deactivation receipt",
    signature: { holds: true, keyId: keyIdOfSpki(document.signingKey), signer: null, root: null },
    document,
    unknown: ["whether the license was issued for that host: the vendor's register says so"],
  };
}

function inspectConf(bytes: Uint8Array, { license }: InspectionContext): Inspection {
  if (bytes.length === 0 || bytes.length % BLOCK_BYTES !== 0 || bytes.length > MAX_CONF_BYTES) {
    const message = "expected a host request, license, configuration, certificate or revocation list";
    throw new SignetError("FILE_UNREADABLE", `${message}, found none of them`);
  }
  const digests = digestsOf(bytes);
  const licenseId = license === undefined ? null : licenseIdFor(digests, license);
  return {
    kind: "configuration",
    document: { ...digests, licenseId },
    unknown: [
      "what it says, and even whether it is a configuration: it is encrypted for one host",
      ...(licenseId === null ? ["which license it belongs to: no license.lic beside it names these digests"] : []),
    ],
  };
}

function inspectCertificate(bytes: Uint8Array, { root }: InspectionContext): Inspection {
  let certificate: X509Certificate;
  let document: Omit<CertificateFacts, "weakness" | "root">;
  try {
    certificate = new X509Certificate(bytes);
    document = certificateFacts(certificate);
  } catch (error) {
    throw new SignetError("TRUST_ROOT_INVALID", "expected a certificate in PEM, found something else", {
      cause: error,
    });
  }
  const isRoot = document.role === "root";
  const weakness = isRoot ? faultOf(() => parseTrustRoot(bytes)) : (weaknessOfKey(certificate.publicKey) ?? null);
  const rootKeyId = !isRoot && root !== undefined ? rootOf([certificate], root) : null;
  return {
    kind: "certificate",
    document: { ...document, weakness, root: rootKeyId },
    unknown: ["whether it is the vendor's: compare the key id with one you got by another way"],
  };
}

/** Throws for a certificate whose frame is right but whose key or dates are not; Node reads those only when asked. */
function certificateFacts(certificate: X509Certificate): Omit<CertificateFacts, "weakness" | "root"> {
  const isIssuer = certificate.keyUsage?.includes(LICENSE_ISSUING_OID) === true;
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    keyId: keyIdOf(certificate.publicKey),
    key: keyName(certificate),
    notBefore: certificate.validFromDate.toISOString(),
    expires: certificate.validToDate.toISOString(),
    role: certificate.ca ? "root" : isIssuer ? "issuer" : "other",
  };
}

/** The signature against the certificate in the file; and that certificate against the root, where there is one. */
function signatureOf(envelope: Envelope, root: TrustRoot | undefined): SignatureFacts {
  const certificate = envelope.certificates[0] ?? root?.certificate;
  const holds = certificate === undefined ? null : isSignedByCertificate(envelope, certificate);
  return {
    holds,
    keyId: envelope.keyId,
    signer: certificate === undefined ? null : oneLine(certificate.subject),
    root: holds === true && root !== undefined ? rootOf(envelope.certificates, root) : null,
  };
}

function isSignedByCertificate(envelope: Envelope, certificate: X509Certificate): boolean {
  try {
    return isSignedBy(envelope, certificate.publicKey);
  } catch {
    return false; // a certificate whose key cannot be read has signed nothing
  }
}

/** @throws VENDOR_MISMATCH: a root was given, so not chaining to it is an answer, not a gap. */
function rootOf(certificates: readonly X509Certificate[], root: TrustRoot): string {
  try {
    if (certificates.length > 0) verifyChain(certificates, [root.certificate]);
    return root.keyId;
  } catch (cause) {
    const signer = oneLine(certificates[0]!.subject);
    const message = `the given root, ${oneLine(root.certificate.subject)}, does not vouch for ${signer}`;
    throw new SignetError("VENDOR_MISMATCH", message, { cause });
  }
}

function unknownSigner(signature: SignatureFacts): string[] {
  return signature.root === null ? ["whether the signer is your vendor: --root root.pem compares"] : [];
}

function licenseIdFor(digests: Digests, licenseFile: Uint8Array): string | null {
  try {
    const { payload } = parseEnvelope(licenseFile, envelopeKinds.license);
    const what = { what: "license.lic", code: "LICENSE_PAYLOAD_INVALID" } as const;
    const license = parseDocument(licenseSchema, payload, what);
    return sameDigests(digests, license.conf) ? license.licenseId : null;
  } catch {
    return null; // the file asked about is the configuration; what lies beside it may be anything
  }
}

function faultOf(act: () => unknown): string | null {
  try {
    act();
    return null;
  } catch (error) {
    return SignetError.from(error).message;
  }
}

function keyIdOfSpki(base64: string): string {
  return createHash("sha256").update(Buffer.from(base64, "base64")).digest("hex");
}

function keyName({ publicKey }: X509Certificate): string {
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  const type = publicKey.asymmetricKeyType ?? "unknown";
  return bits === undefined ? type : `${type} ${bits}`;
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ").slice(0, 300);
}
