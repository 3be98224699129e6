import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, mkdtemp, open, readdir, realpath, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { DataDirectory } from "../config/index.ts";
import { fileError, SignetError } from "../errors.ts";
import {
  type License,
  type LicensedFile,
  loadTrustRoots,
  readConfFile,
  readLicenseFile,
  verifySignedLicense,
} from "../license/index.ts";
import { lockExclusively } from "../plugin/index.ts";
import { authorizeFirst, type FirstAuthorization, type LedgerFacts } from "./first-authorization.ts";
import { openHostLedger, readHostLedger } from "./host-ledger.ts";
import { readInstalledLicense } from "./installed-license.ts";
import { replaceDirectory } from "./replace-directory.ts";
import type { UsageTotals } from "./service-terms.ts";
import { readServingState } from "./serving-state.ts";

const STAGED_PREFIX = "license.new-";

export interface InstalledBundle {
  readonly first: FirstAuthorization<LedgerFacts & UsageTotals>;
  /** Where the license that was installed before lies now; null if there was none. */
  readonly previous: string | null;
}

/**
 * Installs the vendor's bundle: copies what the license names beside the installed one, takes every step of first
 * authorization on the copy, and puts it in the place of the installed one. Whatever is refused leaves the installed
 * one as it was. Works while a server runs; what the bundle holds is not trusted, and what it holds besides is not
 * copied.
 *
 * @throws what authorizeFirst throws; LIBRARY_NOT_REGULAR for a link in the bundle; FILE_UNREADABLE
 */
export async function installBundle(data: DataDirectory, bundle: string): Promise<InstalledBundle> {
  const source = await openBundle(bundle);
  return await withInstallLock(data, async () => {
    const staged = await mkdtemp(join(data.root, STAGED_PREFIX));
    try {
      await copyBundle(data, source, staged);
      const first = await authorizeStaged(data, staged);
      // A host that has a license has a ledger: from here on its absence is a fault, not a beginning.
      if (first.hostKey.ledgerId === undefined) (await openHostLedger(data, first.hostKey)).close();
      const previous = `${data.licenseDir}.previous`;
      const isRenewal = await replaceDirectory(data.licenseDir, staged, previous, await isStillInForce(data, previous));
      return { first, previous: isRenewal ? previous : null };
    } catch (error) {
      await rm(staged, { recursive: true, force: true });
      throw fileError(data.root, error);
    }
  });
}

/** Whether a running server goes on by the license that lies there, because it has not taken over the installed one. */
async function isStillInForce(data: DataDirectory, previous: string): Promise<boolean> {
  const serving = readServingState(data);
  if (serving === null) return false;
  const isServed = async (licenseDir: string) => {
    const found = await readInstalledLicense({ ...data, licenseDir }).catch(() => undefined);
    return found?.license.licenseId === serving.licenseId && found.license.sequence === serving.sequence;
  };
  return !(await isServed(data.licenseDir)) && (await isServed(previous));
}

/** One installation at a time; what an interrupted one left behind is cleared away. */
async function withInstallLock<T>(data: DataDirectory, act: () => Promise<T>): Promise<T> {
  const directory = await openRoot(data.root);
  try {
    if (!lockExclusively(directory.fd)) {
      throw new SignetError("FILE_EXISTS", `${data.root}: expected no other \`signet license install\` at work`);
    }
    for (const name of await readdir(data.root)) {
      if (name.startsWith(STAGED_PREFIX)) await rm(join(data.root, name), { recursive: true, force: true });
    }
    return await act();
  } finally {
    await directory.close();
  }
}

async function openRoot(root: string): Promise<FileHandle> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    return await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw fileError(root, error);
  }
}

/** Every step of first authorization on the copy; also, nothing older than what is installed, used or not. */
async function authorizeStaged(data: DataDirectory, staged: string): Promise<InstalledBundle["first"]> {
  const installed = (await readInstalledLicense(data).catch(() => undefined))?.license;
  return await authorizeFirst({ ...data, licenseDir: staged }, (hostKey) => {
    const ledger = readHostLedger(data, hostKey);
    const highestSequence = (licenseId: string) => {
      const used = ledger.highestSequence(licenseId);
      return installed?.licenseId === licenseId ? Math.max(used, installed.sequence) : used;
    };
    const totals: UsageTotals["totals"] = (licenseId, service) => ledger.totals(licenseId, service);
    const { revocationNumbers, highWaterMs } = ledger;
    return { highestSequence, isDeactivated: (id) => ledger.isDeactivated(id), revocationNumbers, highWaterMs, totals };
  });
}

/** Only the bundle's own name may be a link. */
async function openBundle(bundle: string): Promise<string> {
  try {
    const directory = await realpath(bundle);
    if (!(await stat(directory)).isDirectory()) {
      throw new SignetError(
        "FILE_UNREADABLE",
        `${bundle}: is a file, expected the bundle, a directory with license.lic`,
      );
    }
    await lstat(join(directory, "license.lic"));
    return directory;
  } catch (error) {
    throw fileError(join(bundle, "license.lic"), error);
  }
}

/** The license and what it names. Its signature is verified first, so that only a pinned vendor can fill the disk. */
async function copyBundle(data: DataDirectory, bundle: string, staged: string): Promise<void> {
  const licensePath = join(bundle, "license.lic");
  const confPath = join(bundle, "license.conf");
  for (const path of [licensePath, confPath]) await verifyNoLink(path);
  const licenseFile = await readLicenseFile(licensePath);
  const { license } = verifySignedLicense(licenseFile, await loadTrustRoots(data.trustDir));
  const confFile = await readConfFile(confPath);
  await writeFile(join(staged, "license.lic"), licenseFile, { flag: "wx", mode: 0o600 });
  await writeFile(join(staged, "license.conf"), confFile, { flag: "wx", mode: 0o600 });
  await copyServices(license, join(bundle, "files"), join(staged, "files"));
}

async function copyServices(license: License, from: string, to: string): Promise<void> {
  await verifyDirectory(from);
  for (const { name, files } of license.services) {
    await verifyDirectory(join(from, name));
    await mkdir(join(to, name), { recursive: true, mode: 0o700 });
    for (const file of files) await copyFile(join(from, name, file.name), join(to, name, file.name), file);
  }
}

/** Copies exactly the licensed size: a file that is longer, or grows meanwhile, is not followed. */
async function copyFile(from: string, to: string, { size }: LicensedFile): Promise<void> {
  const source = await openRegular(from);
  try {
    const found = (await source.stat()).size;
    if (found !== size) {
      throw new SignetError("LIBRARY_DIGEST_MISMATCH", `${from}: expected ${size} bytes, found ${found}`);
    }
    const target = await open(to, "wx", 0o600);
    const copied = size === 0 ? [] : source.createReadStream({ start: 0, end: size - 1, autoClose: false });
    await pipeline(copied, target.createWriteStream());
  } catch (error) {
    throw fileError(to, error);
  } finally {
    await source.close();
  }
}

/** Opens without following a link and without waiting on a pipe. */
async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: is not a regular file`);
    return file;
  } catch (error) {
    await file?.close();
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new SignetError("LIBRARY_MISSING", `${path}: no such file or directory`, { cause: error });
    if (code === "ELOOP") throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: is a link`, { cause: error });
    throw fileError(path, error);
  }
}

async function verifyDirectory(path: string): Promise<void> {
  const status = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw fileError(path, error);
  });
  if (status === undefined) throw new SignetError("LIBRARY_MISSING", `${path}: no such file or directory`);
  if (!status.isDirectory()) {
    throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: expected a directory that is not a link`);
  }
}

/** A link could lead to a file that only this user may read. What is not there is told by whoever reads it. */
async function verifyNoLink(path: string): Promise<void> {
  const status = await lstat(path).catch(() => undefined);
  if (status?.isSymbolicLink()) throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: is a link`);
}
