import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { SignetError } from "../errors.ts";
import type { License } from "./schema.ts";

/** key(32) ‖ nonce(32): what license.conf is encrypted with. Fresh for every issue, never used twice. */
export const CONTENT_SECRET_BYTES = 64;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

type WrappedContentKey = License["conf"]["contentKey"];
/** A wrapped key opens only for the license it was wrapped for. */
type Binding = Pick<License, "licenseId" | "sequence">;

export function createContentSecret(): Buffer {
  return randomBytes(CONTENT_SECRET_BYTES);
}

/** X25519 with a key made for this one purpose → HKDF-SHA256 → AES-256-GCM. `hostKey` is SPKI DER of the host's key. */
export function wrapContentKey(secret: Uint8Array, hostKey: Uint8Array, binding: Binding): WrappedContentKey {
  const recipient = importX25519(hostKey);
  if (recipient === undefined) throw new SignetError("REQUEST_INVALID", "host.wrappingKey: expected an X25519 key");
  const ephemeral = generateKeyPairSync("x25519");
  const ephemeralDer = ephemeral.publicKey.export({ format: "der", type: "spki" });
  const nonce = randomBytes(GCM_NONCE_BYTES);
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: recipient });
  const cipher = createCipheriv("aes-256-gcm", wrappingKeyFrom(shared, binding), nonce);
  cipher.setAAD(Buffer.concat([ephemeralDer, hostKey]));
  const wrapped = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  return {
    ephemeralKey: ephemeralDer.toString("base64"),
    nonce: nonce.toString("base64"),
    wrapped: wrapped.toString("base64"),
  };
}

/** @throws CONF_UNDECIPHERABLE for another host's key, another license, or changed bytes. */
export function unwrapContentKey(wrapped: WrappedContentKey, hostKey: KeyObject, binding: Binding): Buffer {
  const undecipherable = (cause?: unknown) =>
    new SignetError("CONF_UNDECIPHERABLE", "the content key in license.lic does not open with this host's key", {
      cause,
    });
  const ephemeralDer = Buffer.from(wrapped.ephemeralKey, "base64");
  const ephemeral = importX25519(ephemeralDer);
  const nonce = Buffer.from(wrapped.nonce, "base64");
  const sealed = Buffer.from(wrapped.wrapped, "base64");
  if (
    ephemeral === undefined ||
    nonce.length !== GCM_NONCE_BYTES ||
    sealed.length !== CONTENT_SECRET_BYTES + GCM_TAG_BYTES
  ) {
    throw undecipherable();
  }
  try {
    const hostDer = createPublicKey(hostKey).export({ format: "der", type: "spki" });
    const shared = diffieHellman({ privateKey: hostKey, publicKey: ephemeral });
    const decipher = createDecipheriv("aes-256-gcm", wrappingKeyFrom(shared, binding), nonce, {
      authTagLength: GCM_TAG_BYTES,
    });
    decipher.setAAD(Buffer.concat([ephemeralDer, hostDer]));
    decipher.setAuthTag(sealed.subarray(CONTENT_SECRET_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, CONTENT_SECRET_BYTES)), decipher.final()]);
  } catch (error) {
    throw undecipherable(error);
  }
}

function wrappingKeyFrom(shared: Uint8Array, { licenseId, sequence }: Binding): Buffer {
  const info = `signet/content-key/v1\0${licenseId}\0${sequence}`;
  return Buffer.from(hkdfSync("sha256", shared, Buffer.alloc(0), info, 32));
}

/** An X25519 public key, or undefined for anything else. */
export function importX25519(der: Uint8Array): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
    const exact = key.export({ format: "der", type: "spki" }).equals(der);
    return key.asymmetricKeyType === "x25519" && exact ? key : undefined;
  } catch {
    return undefined;
  }
}
