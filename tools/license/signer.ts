import type { KeyObject, X509Certificate } from "node:crypto";
import { assembleEnvelope, type EnvelopeKind, keyIdOf, preAuthEncoding, signBytes } from "../../src/license/index.ts";

/** Whoever can sign for the vendor: a key of this process, or a program that holds one. */
export interface Signer {
  readonly publicKey: KeyObject;
  /** What goes into a signed file, so that hosts can follow it to the root; none where the root itself signs. */
  readonly certificates: readonly X509Certificate[];
  /** RSA with PSS, SHA-256 and a salt of 32 bytes, or Ed25519, as the key is. @throws VENDOR_SIGNER_FAILED */
  sign(bytes: Buffer): Promise<Buffer>;
}

/** Signs with a key of this process; `issuer` is its certificate, left out for the root. */
export function keySigner(key: KeyObject, publicKey: KeyObject, issuer?: X509Certificate): Signer {
  return {
    publicKey,
    certificates: issuer === undefined ? [] : [issuer],
    sign: async (bytes) => signBytes(bytes, key),
  };
}

/** The PEM text of a signed file. */
export async function signDocument(signer: Signer, kind: EnvelopeKind, text: string): Promise<string> {
  const payload = Buffer.from(text);
  const signature = await signer.sign(preAuthEncoding(kind.payloadType, payload));
  const { certificates } = signer;
  return assembleEnvelope({ kind, payload, keyId: keyIdOf(signer.publicKey), signature, certificates });
}
