import type { X509Certificate } from "node:crypto";
import { readdir, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileError, inFile, SignetError } from "../errors.ts";
import {
  isIssuedBy,
  keyIdOf,
  parseCertificate,
  subjectOf,
  weaknessOfKey,
  weaknessOfSignature,
} from "./certificates.ts";
import { PemError, parsePem } from "./pem.ts";
import { readSmallFile } from "./read-file.ts";
import { createPrivateFile } from "./write-file.ts";

const MAX_ROOT_BYTES = 64 * 1024;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** A vendor's root certificate that the operator has pinned. */
export interface TrustRoot {
  /** SHA-256 of the root's public key, hex: the fingerprint to compare with the vendor's. */
  readonly keyId: string;
  readonly certificate: X509Certificate;
}

/** Checks one PEM certificate for use as a root. @throws TRUST_ROOT_INVALID */
export function parseTrustRoot(pem: Uint8Array): TrustRoot {
  const certificate = parseSingleCertificate(pem);
  if (!certificate.ca) throw invalid("is not a CA");
  if (!isIssuedBy(certificate, certificate)) throw invalid("is not signed by itself");
  const weakness = weaknessOfKey(certificate.publicKey) ?? weaknessOfSignature(certificate);
  if (weakness !== undefined) throw invalid(`has ${weakness}`);
  return { keyId: keyIdOf(certificate.publicKey), certificate };

  function invalid(reason: string): SignetError {
    return new SignetError("TRUST_ROOT_INVALID", `the certificate ${subjectOf(certificate)} ${reason}`);
  }
}

/** Pins a root as DIRECTORY/KEYID.pem. @throws TRUST_ROOT_INVALID; FILE_EXISTS if a root with this key is pinned. */
export async function addTrustRoot(directory: string, pem: Uint8Array): Promise<TrustRoot> {
  const root = parseTrustRoot(pem);
  await createPrivateFile(join(directory, `${root.keyId}.pem`), root.certificate.toString(), 0o644);
  return root;
}

/**
 * Pins a root no longer: licenses that hang on it are refused from the next check on.
 * @throws USAGE for an unknown key id
 */
export async function removeTrustRoot(directory: string, keyId: string): Promise<void> {
  // The pattern also keeps a path from being taken for a key id.
  const isThere = /^[0-9a-f]{64}$/.test(keyId) && (await listDirectory(directory)).includes(`${keyId}.pem`);
  if (!isThere) throw new SignetError("USAGE", `expected the key id of a pinned root, found ${JSON.stringify(keyId)}`);
  const path = join(directory, `${keyId}.pem`);
  try {
    await unlink(path);
  } catch (error) {
    throw fileError(path, error);
  }
}

/** All pinned roots. @throws TRUST_ROOT_MISSING, TRUST_ROOT_INVALID */
export async function loadTrustRoots(directory: string): Promise<TrustRoot[]> {
  const names = (await listDirectory(directory)).filter((name) => name.endsWith(".pem")).sort();
  if (names.length === 0) throw new SignetError("TRUST_ROOT_MISSING", `${directory}: no root certificate is pinned`);
  // Who may rename what lies in the directory above can put a directory of their own in this one's place.
  await verifyOnlyOwnerWrites(dirname(resolve(directory)), "above");
  await verifyOnlyOwnerWrites(directory, "roots");
  return Promise.all(names.map((name) => loadTrustRoot(directory, name)));
}

async function loadTrustRoot(directory: string, name: string): Promise<TrustRoot> {
  const path = join(directory, name);
  await verifyOnlyOwnerWrites(path, "root");
  const pem = await readSmallFile(path, {
    maxBytes: MAX_ROOT_BYTES,
    missing: "TRUST_ROOT_MISSING",
    tooLarge: "TRUST_ROOT_INVALID",
    what: "a certificate",
  });
  const root = inFile(path, () => parseTrustRoot(pem));
  if (name !== `${root.keyId}.pem`) {
    throw new SignetError("TRUST_ROOT_INVALID", `${path}: expected the file name ${root.keyId}.pem`);
  }
  return root;
}

async function verifyOnlyOwnerWrites(path: string, role: PlaceRole): Promise<void> {
  const weakness = weaknessOfPlace(await stat(path), role, process.geteuid?.());
  if (weakness !== undefined) throw new SignetError("TRUST_ROOT_INVALID", `${path}: ${weakness}`);
}

/** "above" is the directory that has the roots' directory in it. */
type PlaceRole = "root" | "roots" | "above";

/**
 * Why somebody else could decide what this host trusts; undefined if nobody could. Root's directories are good for
 * everybody, and root may look after those of a service's user.
 */
export function weaknessOfPlace(
  { mode, uid }: { mode: number; uid: number },
  role: PlaceRole,
  self: number | undefined,
): string | undefined {
  // Under the sticky bit others can add names, but not take away those that are there.
  const othersCanReplace = (mode & WRITABLE_BY_OTHERS) !== 0 && !(role === "above" && (mode & STICKY) !== 0);
  if (othersCanReplace) return "other users can write it; expected chmod go-w";
  const isOwn = self === undefined || self === 0 || uid === 0 || uid === self;
  return isOwn ? undefined : `belongs to user ${uid}; expected user ${self} or root`;
}

async function listDirectory(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(directory, error);
  }
}

function parseSingleCertificate(pem: Uint8Array): X509Certificate {
  try {
    const [block, ...more] = parsePem(pem);
    const certificate = block?.label === "CERTIFICATE" ? parseCertificate(block.bytes) : undefined;
    if (certificate !== undefined && more.length === 0) return certificate;
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
  }
  throw new SignetError("TRUST_ROOT_INVALID", "expected a file with exactly one PEM certificate");
}
