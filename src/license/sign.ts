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
  const signed = preAuthEncoding(kind.payloadType, payload);
  const signature = key.asymmetricKeyType === "rsa" ? sign("sha256", signed, { key, ...pss }) : sign(null, signed, key);
  const text = formatEnvelope({ kind, payload, keyId: keyIdOf(createPublicKey(key)), signature, certificates });
  if (text.length > kind.maxBytes) {
    throw new SignetError(kind.tooLarge, `${kind.what}: expected at most ${kind.maxBytes} bytes, found ${text.length}`);
  }
  return text;
}

/** True if the key signed this envelope. The algorithm follows from the key, never from the file. */
export function isSignedBy(envelope: Envelope, key: KeyObject): boolean {
  if (envelope.keyId !== keyIdOf(key)) return false;
  const signed = preAuthEncoding(envelope.kind.payloadType, envelope.payload);
  switch (key.asymmetricKeyType) {
    case "rsa":
      return verify("sha256", signed, { key, ...pss }, envelope.signature);
    case "ed25519":
      return verify(null, signed, key, envelope.signature);
    default:
      return false;
  }
}
