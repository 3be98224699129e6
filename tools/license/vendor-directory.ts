import { generateKeyPair, type KeyObject, type KeyPairKeyObjectResult, X509Certificate } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { fileError, SignetError } from "../../src/errors.ts";
import { createPrivateFile, keyIdOf, replaceFile, weaknessOfKey } from "../../src/license/index.ts";
import { createIssuerCertificate, createRootCertificate } from "./certificates.ts";
import { commandSigner } from "./external-signer.ts";
import { createDirectory } from "./new-directory.ts";
import { keySigner, type Signer } from "./signer.ts";
import { formatSigningKey, openSigningKey } from "./signing-key.ts";

export const issuerAlgorithms = ["rsa", "ed25519"] as const;
export type IssuerAlgorithm = (typeof issuerAlgorithms)[number];

/** Where every issuer but the first lies. */
const ISSUERS = "issuers";

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
  /** Signs as the issuer. */
  readonly signer: Signer;
}

/** How the issuer signs: with the key in the directory, or by a command that holds it elsewhere. */
export type Unlock = { readonly passphrase: string } | { readonly signerCommand: string };

/** The public half of a vendor's directory; opening it needs no secret. */
export interface VendorCertificates {
  readonly vendor: Vendor;
  readonly root: X509Certificate;
  /** The one that signs now. */
  readonly issuer: X509Certificate;
  /** Every issuer that the vendor ever had, the present one first. */
  readonly issuers: readonly X509Certificate[];
}

/**
 * Makes a vendor's keys: root.pem and root.key, issuer.pem and issuer.key, vendor.json. There is no root.key where the
 * root is given: its key stays where it is.
 * @throws SignetError FILE_EXISTS, USAGE, VENDOR_KEY_UNREADABLE, VENDOR_SIGNER_FAILED
 */
export async function createVendorDirectory(input: {
  directory: string;
  name: string;
  passphrase: string;
  issuerAlgorithm: IssuerAlgorithm;
  externalRoot?: Signer | undefined;
}): Promise<{ vendor: Vendor; root: X509Certificate }> {
  const { directory, name, passphrase, issuerAlgorithm, externalRoot } = input;
  if (externalRoot !== undefined) verifyStrong(externalRoot.publicKey, "the root");
  return await createDirectory(directory, async (draft) => {
    const rootKeys = externalRoot === undefined ? await createKeys("rsa") : undefined;
    const issuerKeys = await createKeys(issuerAlgorithm);
    const now = new Date();
    const rootSigner = externalRoot ?? keySigner(rootKeys!.privateKey, rootKeys!.publicKey);
    const root = await createRootCertificate(name, rootSigner, now);
    const issuer = await createIssuerCertificate(name, issuerKeys.publicKey, rootSigner, now);
    const vendor: Vendor = {
      v: 1,
      name,
      rootKeyId: keyIdOf(root.publicKey),
      issuerKeyId: keyIdOf(issuer.publicKey),
    };
    const write = (file: string, text: string, mode: number) =>
      writeFile(join(draft, file), text, { flag: "wx", mode });
    if (rootKeys !== undefined) {
      await write("root.key", await formatSigningKey(rootKeys.privateKey, passphrase), 0o600);
    }
    await write("issuer.key", await formatSigningKey(issuerKeys.privateKey, passphrase), 0o600);
    await write("root.pem", root.toString(), 0o644);
    await write("issuer.pem", issuer.toString(), 0o644);
    await write("vendor.json", formatVendor(vendor), 0o644);
    return { vendor, root };
  });
}

/** @throws SignetError VENDOR_KEY_UNREADABLE, FILE_UNREADABLE */
export async function openVendorDirectory(directory: string, unlock: Unlock): Promise<VendorDirectory> {
  const { vendor, root, issuer } = await readVendorCertificates(directory);
  if ("signerCommand" in unlock) {
    const { publicKey } = issuer;
    const command = { command: unlock.signerCommand, option: "--signer-cmd", publicKey } as const;
    return { vendor, root, issuer, signer: commandSigner(command, issuer) };
  }
  const path = (await issuerPath(directory, vendor)).replace(/\.pem$/, ".key");
  const issuerKey = await openSigningKey(path, unlock.passphrase);
  if (!issuer.checkPrivateKey(issuerKey)) {
    throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: is not the key of the issuer's certificate`);
  }
  return { vendor, root, issuer, signer: keySigner(issuerKey, issuer.publicKey, issuer) };
}

/** @throws SignetError FILE_UNREADABLE */
export async function readVendorCertificates(directory: string): Promise<VendorCertificates> {
  const vendor = parseVendor(await read(directory, "vendor.json"), join(directory, "vendor.json"));
  const root = await readCertificate(join(directory, "root.pem"), vendor.rootKeyId);
  const issuer = await readCertificate(await issuerPath(directory, vendor), vendor.issuerKeyId);
  const others: X509Certificate[] = [];
  for (const path of [join(directory, "issuer.pem"), ...(await laterIssuers(directory))]) {
    const certificate = await readCertificate(path);
    if (certificate.fingerprint256 !== issuer.fingerprint256) others.push(certificate);
  }
  return { vendor, root, issuer, issuers: [issuer, ...others] };
}

/** Opens the root's key, to sign an issuer or a revocation list. @throws VENDOR_KEY_UNREADABLE */
export async function openRoot(path: string, passphrase: string, root: X509Certificate): Promise<Signer> {
  const key = await openSigningKey(path, passphrase);
  if (root.checkPrivateKey(key)) return keySigner(key, root.publicKey);
  throw new SignetError("VENDOR_KEY_UNREADABLE", `${path}: is not the key of root.pem`);
}

/** What the new issuer signs with: a key made here, or one that stays where it is, of which this is the public half. */
export type NewIssuer =
  | { readonly algorithm: IssuerAlgorithm; readonly passphrase: string }
  | { readonly publicKey: KeyObject };

/**
 * Makes a new issuer below the root, which signs from now on. It lies in issuers/KEYID.pem; nothing of the earlier ones
 * is touched, and what they signed goes on holding. Only the change of vendor.json, in one step, puts it in charge.
 *
 * @throws VENDOR_KEY_UNREADABLE, VENDOR_SIGNER_FAILED, USAGE, FILE_EXISTS for the same public key twice
 */
export async function rotateIssuer(input: {
  directory: string;
  rootSigner: Signer;
  issuer: NewIssuer;
  now?: Date;
}): Promise<{ vendor: Vendor; issuer: X509Certificate }> {
  const { directory, rootSigner, now = new Date() } = input;
  const { vendor } = await readVendorCertificates(directory);
  const { publicKey, keyFile } = await newIssuerKey(input.issuer);
  verifyStrong(publicKey, "the new issuer");
  const issuer = await createIssuerCertificate(vendor.name, publicKey, rootSigner, now);
  const path = join(directory, ISSUERS, keyIdOf(publicKey));
  if (keyFile !== null) await createPrivateFile(`${path}.key`, keyFile, 0o600);
  await createPrivateFile(`${path}.pem`, issuer.toString(), 0o644);
  const rotated = { ...vendor, issuerKeyId: keyIdOf(publicKey) };
  await replaceFile(join(directory, "vendor.json"), formatVendor(rotated), 0o644);
  return { vendor: rotated, issuer };
}

/** Its public half, and the text of its key file where the key is made here. */
async function newIssuerKey(issuer: NewIssuer): Promise<{ publicKey: KeyObject; keyFile: string | null }> {
  if ("publicKey" in issuer) return { publicKey: issuer.publicKey, keyFile: null };
  const { publicKey, privateKey } = await createKeys(issuer.algorithm);
  return { publicKey, keyFile: await formatSigningKey(privateKey, issuer.passphrase) };
}

/** @throws VENDOR_KEY_UNREADABLE for a key that hosts would refuse */
function verifyStrong(publicKey: KeyObject, whose: string): void {
  const weakness = weaknessOfKey(publicKey);
  if (weakness !== undefined) throw new SignetError("VENDOR_KEY_UNREADABLE", `${whose}: has ${weakness}`);
}

/** The first issuer is issuer.pem; every later one has a file of its own. */
async function issuerPath(directory: string, { issuerKeyId }: Vendor): Promise<string> {
  const later = join(directory, ISSUERS, `${issuerKeyId}.pem`);
  return (await laterIssuers(directory)).includes(later) ? later : join(directory, "issuer.pem");
}

async function laterIssuers(directory: string): Promise<string[]> {
  const folder = join(directory, ISSUERS);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new SignetError("FILE_UNREADABLE", `${folder}: ${error.code}`, { cause: error });
  });
  return names.filter((name) => name.endsWith(".pem")).map((name) => join(folder, name));
}

async function createKeys(algorithm: IssuerAlgorithm): Promise<KeyPairKeyObjectResult> {
  if (algorithm === "ed25519") return await promisify(generateKeyPair)("ed25519");
  return await promisify(generateKeyPair)("rsa", { modulusLength: 3072, publicExponent: 65537 });
}

async function read(directory: string, file: string): Promise<Buffer> {
  const path = join(directory, file);
  return await readFile(path).catch((error) => {
    throw fileError(path, error);
  });
}

function formatVendor(vendor: Vendor): string {
  return `${JSON.stringify(vendor, null, 2)}\n`;
}

function parseVendor(bytes: Buffer, path: string): Vendor {
  try {
    return vendorSchema.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new SignetError("FILE_UNREADABLE", `${path}: is not what \`vendor init\` wrote`, { cause: error });
  }
}

async function readCertificate(path: string, keyId?: string): Promise<X509Certificate> {
  const bytes = await read(dirname(path), basename(path));
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(bytes);
  } catch (error) {
    throw new SignetError("FILE_UNREADABLE", `${path}: is not a certificate`, { cause: error });
  }
  if (keyId !== undefined && keyIdOf(certificate.publicKey) !== keyId) {
    throw new SignetError("FILE_UNREADABLE", `${path}: expected the key id that vendor.json names, ${keyId}`);
  }
  return certificate;
}
