import { createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync, type KeyObject } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { SignetError } from "../errors.ts";
import { formatPem, PemError, parsePem } from "./pem.ts";
import { readSmallFile } from "./read-file.ts";
import { createPrivateFile, replaceFile } from "./write-file.ts";

const FILE_NAME = "host.key";
const MAX_KEY_BYTES = 8 * 1024;
const READABLE_BY_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;
const LEDGER_LABEL = "SIGNET LEDGER";
const LEDGER_ID_BYTES = 16;

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
  /** The id of this host's ledger, hex; undefined until it has one. While it is there, no other ledger is begun. */
  readonly ledgerId: string | undefined;
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
  await createPrivateFile(join(directory, FILE_NAME), blocks.join(""), 0o600);
  await chmod(directory, 0o700);
  return hostKeyFrom(signing, wrapping, undefined);
}

/** @throws HOST_KEY_MISSING, HOST_KEY_UNSAFE, HOST_KEY_INVALID */
export async function openHostKey(directory: string): Promise<HostKey> {
  const path = join(directory, FILE_NAME);
  const text = await readKeyFile(path);
  await verifyPrivate(path, READABLE_BY_OTHERS, "0600");
  await verifyPrivate(directory, WRITABLE_BY_OTHERS, "0700");
  const [signing, wrapping, ledgerId, ...more] = parseBlocks(text, path);
  if (
    !isKey(signing, "ed25519") ||
    !isKey(wrapping, "x25519") ||
    (ledgerId !== undefined && typeof ledgerId !== "string") ||
    more.length > 0
  ) {
    throw new SignetError(
      "HOST_KEY_INVALID",
      `${path}: expected an Ed25519 and an X25519 private key, then at most the id of a ledger`,
    );
  }
  return hostKeyFrom(signing, wrapping, ledgerId);
}

/**
 * Writes the id of the host's ledger into host.key, for good: whoever deletes the ledger and all its anchors then
 * gets no fresh one with nothing charged, unless the key goes too, and with it the license.
 *
 * @param ledgerId 32 hex digits
 * @throws HOST_KEY_INVALID when another id is there; as openHostKey
 */
export async function bindLedger(directory: string, ledgerId: string): Promise<void> {
  const path = join(directory, FILE_NAME);
  const { ledgerId: bound } = await openHostKey(directory);
  if (bound === ledgerId) return;
  if (bound !== undefined) throw new SignetError("HOST_KEY_INVALID", `${path}: belongs to another ledger`);
  const marker = formatPem(LEDGER_LABEL, Buffer.from(ledgerId, "hex"));
  await replaceFile(path, `${(await readKeyFile(path)).toString("latin1").trimEnd()}\n${marker}`, 0o600);
}

function readKeyFile(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: MAX_KEY_BYTES,
    missing: "HOST_KEY_MISSING",
    tooLarge: "HOST_KEY_INVALID",
    what: "a host key",
  });
}

function isKey(block: KeyObject | string | undefined, type: string): block is KeyObject {
  return typeof block === "object" && block.asymmetricKeyType === type;
}

function hostKeyFrom(signing: KeyObject, wrapping: KeyObject, ledgerId: string | undefined): HostKey {
  const secret = Buffer.concat([seedOf(signing), seedOf(wrapping)]);
  return {
    signing,
    wrapping,
    signingPublic: createPublicKey(signing).export({ format: "der", type: "spki" }),
    wrappingPublic: createPublicKey(wrapping).export({ format: "der", type: "spki" }),
    ledgerId,
    deriveKey: (info) => Buffer.from(hkdfSync("sha256", secret, "signet/host-key/v1", info, 32)),
  };
}

function seedOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).d as string, "base64url");
}

/** A key for each private key, the id for a ledger's marker. */
function parseBlocks(text: Uint8Array, path: string): (KeyObject | string)[] {
  try {
    return parsePem(text).map(({ label, bytes }) => {
      if (label === "PRIVATE KEY") return createPrivateKey({ key: bytes, format: "der", type: "pkcs8" });
      if (label === LEDGER_LABEL && bytes.length === LEDGER_ID_BYTES) return bytes.toString("hex");
      throw new PemError(`the block ${label}`);
    });
  } catch (error) {
    // OpenSSL's words may quote the input, so they are not repeated.
    const reason = error instanceof PemError ? error.message : "something that is not a private key";
    throw new SignetError("HOST_KEY_INVALID", `${path}: expected two private keys in PEM, found ${reason}`);
  }
}

async function verifyPrivate(path: string, forbidden: number, expected: string): Promise<void> {
  const mode = (await stat(path)).mode & 0o777;
  if ((mode & forbidden) !== 0) {
    const found = mode.toString(8).padStart(4, "0");
    throw new SignetError("HOST_KEY_UNSAFE", `${path}: expected mode ${expected}, found ${found}`);
  }
}
