import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";

/** Whether a key is a certificate's own; null for what is no private key in PEM without a passphrase. */
export function isKeyOf(certificate: X509Certificate, pem: Buffer): boolean | null {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    return null;
  }
  return certificate.checkPrivateKey(key);
}
