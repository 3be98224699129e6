import { generateKeyPair, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { fileError, SignetError } from "../../src/errors.ts";
import { keyIdOf } from "../../src/license/index.ts";
import { createIssuerCertificate, createRootCertificate, type KeyPair } from "./certificates.ts";
import { createDirectory } from "./new-directory.ts";
import { formatSigningKey, openSigningKey } from "./signing-key.ts";

export const issuerAlgorithms = ["rsa", "ed25519"] as const;
export type IssuerAlgorithm = (typeof issuerAlgorithms)[number];

const vendorSchema = z.strictObject({
  v: z.literal(1),
  name: z.string().min(1).max(200),
  rootKeyId: z.string(),
  issuerKeyId: z.string(),
});
export type Vendor = z.infer<typeof vendorSchema>;

/** What issuing needs of a vendor's directory; the root's private key is not among it and may be elsewhere. */
export interface VendorDirectory {
  readonly vendor: Vendor;
  readonly root: X509Certificate;
  readonly issuer: X509Certificate;
  readonly issuerKey: KeyObject;
}

/**
 * Makes a vendor's keys: root.pem and root.key, issuer.pem and issuer.key, vendor.json.
 * @throws SignetError FILE_EXISTS, USAGE
 */
export async function createVendorDirectory(input: {
  directory: string;
  name: string;
  passphrase: string;
  issuerAlgorithm: IssuerAlgorithm;
}): Promise<{ vendor: Vendor; root: X509Certificate }> {
  const { directory, name, passphrase, issuerAlgorithm } = input;
  return await createDirectory(directory, async (draft) => {
    const [rootKeys, issuerKeys] = await Promise.all([createKeys("rsa"), createKeys(issuerAlgorithm)]);
    const now = new Date();
    const root = createRootCertificate(name, rootKeys, now);
    const issuer = createIssuerCertificate(name, issuerKeys.publicKey, rootKeys, now);
    const vendor: Vendor = {
      v: 1,
      name,
      rootKeyId: keyIdOf(rootKeys.publicKey),
      issuerKeyId: keyIdOf(issuerKeys.publicKey),
    };
    const [rootKey, issuerKey] = await Promise.all([
      formatSigningKey(rootKeys.privateKey, passphrase),
      formatSigningKey(issuerKeys.privateKey, passphrase),
    ]);
    const write = (file: string, text: string, mode: number) =>
      writeFile(join(draft, file), text, { flag: "wx", mode });
    await write("root.key", rootKey, 0o600);
    await write("issuer.key", issuerKey, 0o600);
    await write("root.pem", root.toString(), 0o644);
    await write("issuer.pem", issuer.toString(), 0o644);
    await write("vendor.json", `${JSON.stringify(vendor, null, 2)}\n`, 0o644);
    return { vendor, root };
  });
}

/** @throws SignetError VENDOR_KEY_UNREADABLE, FILE_UNREADABLE */
export async function openVendorDirectory(directory: string, passphrase: string): Promise<VendorDirectory> {
  const vendor = parseVendor(await read(directory, "vendor.json"), join(directory, "vendor.json"));
  const root = await readCertificate(directory, "root.pem", vendor.rootKeyId);
  const issuer = await readCertificate(directory, "issuer.pem", vendor.issuerKeyId);
  const path = join(directory, "issuer.key");
  const issuerKey = await openSigningKey(path, passphrase);
  if (!issuer.checkPrivateKey(issuerKey)) {
    throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: is not the key of issuer.pem`);
  }
  return { vendor, root, issuer, issuerKey };
}

async function createKeys(algorithm: IssuerAlgorithm): Promise<KeyPair> {
  if (algorithm === "ed25519") return await promisify(generateKeyPair)("ed25519");
  return await promisify(generateKeyPair)("rsa", { modulusLength: 3072, publicExponent: 65537 });
}

async function read(directory: string, file: string): Promise<Buffer> {
  const path = join(directory, file);
  return await readFile(path).catch((error) => {
    throw fileError(path, error);
  });
}

function parseVendor(bytes: Buffer, path: string): Vendor {
  try {
    return vendorSchema.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new SignetError("FILE_UNREADABLE", `${path}: is not what \`vendor init\` wrote`, { cause: error });
  }
}

async function readCertificate(directory: string, file: string, keyId: string): Promise<X509Certificate> {
  const bytes = await read(directory, file);
  const path = join(directory, file);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(bytes);
  } catch (error) {
    throw new SignetError("FILE_UNREADABLE", `${path}: is not a certificate`, { cause: error });
  }
  if (keyIdOf(certificate.publicKey) !== keyId) {
    throw new SignetError("FILE_UNREADABLE", `${path}: expected the key id that vendor.json names, ${keyId}`);
  }
  return certificate;
}
