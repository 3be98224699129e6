import { createCipheriv, createPrivateKey, type KeyObject, pbkdf2, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import forge from "node-forge";
import { fileError, SignetError } from "../../src/errors.ts";

/** OWASP's figure for PBKDF2 with HMAC-SHA256. Node's own PKCS#8 export has 2048 rounds and no option for more. */
const PBKDF2_ROUNDS = 600_000;
/** A passphrase is the only thing between a stolen laptop and every license this vendor could ever sign. */
export const MIN_PASSPHRASE_CHARACTERS = 12;
const MAX_KEY_FILE_BYTES = 64 * 1024;

/** The private key as encrypted PKCS#8 in PEM (PBES2: PBKDF2 with HMAC-SHA256, AES-256-CBC); openssl opens it too. */
export async function formatSigningKey(key: KeyObject, passphrase: string): Promise<string> {
  if ([...passphrase].length < MIN_PASSPHRASE_CHARACTERS) {
    const message = `the passphrase is too short, expected ${MIN_PASSPHRASE_CHARACTERS} characters or more`;
    throw new SignetError("USAGE", message);
  }
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const encryptionKey = await promisify(pbkdf2)(passphrase, salt, PBKDF2_ROUNDS, 32, "sha256");
  const cipher = createCipheriv("aes-256-cbc", encryptionKey, iv);
  const plain = key.export({ type: "pkcs8", format: "der" });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  encryptionKey.fill(0);
  const info = sequence(
    sequence(
      oid("pkcs5PBES2"),
      sequence(
        sequence(
          oid("pkcs5PBKDF2"),
          sequence(octets(salt), integer(PBKDF2_ROUNDS), sequence(oid("hmacWithSHA256"), nothing())),
        ),
        sequence(oid("aes256-CBC"), octets(iv)),
      ),
    ),
    octets(encrypted),
  );
  return pemBlock("ENCRYPTED PRIVATE KEY", forge.asn1.toDer(info).getBytes());
}

/**
 * Opens a private key for signing. This is the only function of the project that reads one.
 * @throws SignetError VENDOR_KEY_UNREADABLE
 */
export async function openSigningKey(path: string, passphrase: string): Promise<KeyObject> {
  let pem: Buffer;
  try {
    pem = await readFile(path);
  } catch (error) {
    throw fileError(path, error, "VENDOR_KEY_UNREADABLE");
  }
  if (pem.length > MAX_KEY_FILE_BYTES) throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: is not a key file`);
  // A key without a passphrase would open as well; using it would teach the vendor that this is fine.
  if (!pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----")) {
    throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: expected an encrypted private key in PEM`);
  }
  try {
    return createPrivateKey({ key: pem, format: "pem", passphrase });
  } catch (error) {
    throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: does not open with this passphrase`, { cause: error });
  }
}

const { Class, Type } = forge.asn1;

function sequence(...items: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

function octets(bytes: Uint8Array): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, Buffer.from(bytes).toString("latin1"));
}

function oid(name: string): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.OID, false, forge.asn1.oidToDer(forge.pki.oids[name]!).getBytes());
}

function integer(value: number): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.INTEGER, false, forge.asn1.integerToDer(value).getBytes());
}

function nothing(): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.NULL, false, "");
}

function pemBlock(label: string, body: string): string {
  return forge.pem.encode({ type: label, body }).replaceAll("\r\n", "\n");
}
