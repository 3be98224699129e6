import { constants, createPublicKey, type KeyObject, sign, verify, type X509Certificate } from "node:crypto";
import { SignetError } from "../errors.ts";
import { keyIdOf } from "./certificates.ts";
import { type Envelope, type EnvelopeKind, formatEnvelope, preAuthEncoding } from "./envelope.ts";

const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const;

/**
 * Signs bytes as they are and returns the PEM text: the envelope, then the certificates. RSA keys sign with
 * PSS, SHA-256 and a salt of 32 bytes, Ed25519 keys as they do.
 */
export function signEnvelope(document: {
  kind: EnvelopeKind;
  payload: Uint8Array;
  key: KeyObject;
  /** The signer's certificate first; never the root. */
  certificates?: readonly X509Certificate[];
}): string {
  const { kind, key, certificates = [] } = document;
  const payload = Buffer.from(document.payload);
  const signature = signBytes(preAuthEncoding(kind.payloadType, payload), key);
  return assembleEnvelope({ kind, payload, keyId: keyIdOf(createPublicKey(key)), signature, certificates });
}

/** The PEM text of an envelope that was signed elsewhere. @throws what its kind throws for a file that is too large */
export function assembleEnvelope(envelope: Envelope): string {
  const { kind } = envelope;
  const text = formatEnvelope(envelope);
  if (text.length > kind.maxBytes) {
    throw new SignetError(kind.tooLarge, `${kind.what}: expected at most ${kind.maxBytes} bytes, found ${text.length}`);
  }
  return text;
}

/** A signature as envelopes have it: RSA with PSS, SHA-256 and a salt of 32 bytes, or Ed25519. */
export function signBytes(bytes: Uint8Array, key: KeyObject): Buffer {
  return key.asymmetricKeyType === "rsa" ? sign("sha256", bytes, { key, ...pss }) : sign(null, bytes, key);
}

/** True if the key signed these bytes. The algorithm follows from the key. */
export function isSignature(bytes: Uint8Array, signature: Uint8Array, key: KeyObject): boolean {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return verify("sha256", bytes, { key, ...pss }, signature);
    case "ed25519":
      return verify(null, bytes, key, signature);
    default:
      return false;
  }
}

/** True if the key signed this envelope. The algorithm follows from the key, never from the file. */
export function isSignedBy(envelope: Envelope, key: KeyObject): boolean {
  if (envelope.keyId !== keyIdOf(key)) return false;
  return isSignature(preAuthEncoding(envelope.kind.payloadType, envelope.payload), envelope.signature, key);
}
