import { createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync, type KeyObject } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { SignetError } from "../errors.ts";
import { formatPem, PemError, parsePem } from "./pem.ts";
import { readSmallFile } from "./read-file.ts";
import { createFile } from "./write-file.ts";

const FILE_NAME = "host.key";
const MAX_KEY_BYTES = 8 * 1024;
const READABLE_BY_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;

/** The identity of a host. The private halves never leave the host, nor does anything derived from them. */
export interface HostKey {
  /** Ed25519, proves possession. */
  readonly signing: KeyObject;
  /** X25519, opens content keys. */
  readonly wrapping: KeyObject;
  /** Ed25519 public key, SPKI DER. */
  readonly signingPublic: Buffer;
  /** X25519 public key, SPKI DER. */
  readonly wrappingPublic: Buffer;
  /** 32 secret bytes for one purpose, the same at every start; `info` names the purpose. */
  deriveKey(info: string): Buffer;
}

/** Makes DIRECTORY/host.key (0600, in a 0700 directory). @throws FILE_EXISTS */
export async function createHostKey(directory: string): Promise<HostKey> {
  const signing = generateKeyPairSync("ed25519").privateKey;
  const wrapping = generateKeyPairSync("x25519").privateKey;
  const blocks = [signing, wrapping].map((key) =>
    formatPem("PRIVATE KEY", key.export({ format: "der", type: "pkcs8" })),
  );
  await createFile(join(directory, FILE_NAME), blocks.join(""), 0o600);
  await chmod(directory, 0o700);
  return hostKeyFrom(signing, wrapping);
}

/** @throws HOST_KEY_MISSING, HOST_KEY_UNSAFE, HOST_KEY_INVALID */
export async function openHostKey(directory: string): Promise<HostKey> {
  const path = join(directory, FILE_NAME);
  const text = await readSmallFile(path, {
    maxBytes: MAX_KEY_BYTES,
    missing: "HOST_KEY_MISSING",
    tooLarge: "HOST_KEY_INVALID",
    what: "a host key",
  });
  await verifyPrivate(path, READABLE_BY_OTHERS, "0600");
  await verifyPrivate(directory, WRITABLE_BY_OTHERS, "0700");
  const [signing, wrapping, ...more] = parsePrivateKeys(text);
  if (signing?.asymmetricKeyType !== "ed25519" || wrapping?.asymmetricKeyType !== "x25519" || more.length > 0) {
    throw new SignetError("HOST_KEY_INVALID", `${path}: expected an Ed25519 and an X25519 private key`);
  }
  return hostKeyFrom(signing, wrapping);
}

function hostKeyFrom(signing: KeyObject, wrapping: KeyObject): HostKey {
  const secret = Buffer.concat([seedOf(signing), seedOf(wrapping)]);
  return {
    signing,
    wrapping,
    signingPublic: createPublicKey(signing).export({ format: "der", type: "spki" }),
    wrappingPublic: createPublicKey(wrapping).export({ format: "der", type: "spki" }),
    deriveKey: (info) => Buffer.from(hkdfSync("sha256", secret, "signet/host-key/v1", info, 32)),
  };
}

function seedOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).d as string, "base64url");
}

function parsePrivateKeys(text: Uint8Array): (KeyObject | undefined)[] {
  try {
    return parsePem(text).map(({ label, bytes }) =>
      label === "PRIVATE KEY" ? createPrivateKey({ key: bytes, format: "der", type: "pkcs8" }) : undefined,
    );
  } catch (error) {
    // OpenSSL's words may quote the input, so they are not repeated.
    const reason = error instanceof PemError ? error.message : "something that is not a private key";
    throw new SignetError("HOST_KEY_INVALID", `${FILE_NAME}: expected two private keys in PEM, found ${reason}`);
  }
}

async function verifyPrivate(path: string, forbidden: number, expected: string): Promise<void> {
  const mode = (await stat(path)).mode & 0o777;
  if ((mode & forbidden) !== 0) {
    const found = mode.toString(8).padStart(4, "0");
    throw new SignetError("HOST_KEY_UNSAFE", `${path}: expected mode ${expected}, found ${found}`);
  }
}
