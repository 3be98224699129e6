import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { fileError, inFile, SignetError } from "../errors.ts";
import {
  type AuthorizedLicense,
  authorizeLicense,
  type HostKey,
  loadTrustRoots,
  parseLicenseEnvelope,
  parseRevocationList,
  type RevocationNumber,
  readConfFile,
  readLicenseFile,
  readRevocationListFile,
  type ServiceConf,
  type SignedRevocationList,
  type TrustRoot,
  verifySignedLicense,
} from "../license/index.ts";
import { SealedFiles, type VerifiedFiles, verifyFilesAside } from "../plugin/index.ts";
import { openOwnHostKey } from "./own-host-key.ts";
import { readHostMachine } from "./read-host-machine.ts";

/** What the license steps need to know from the ledger, whether it was opened to write or only read. */
export interface LedgerFacts {
  highestSequence(licenseId: string): number;
  isDeactivated(licenseId: string): boolean;
  readonly revocationNumbers: readonly RevocationNumber[];
  readonly highWaterMs: number;
}

/** A licensed service whose every file was verified and sealed. */
export interface AuthorizedService {
  readonly conf: ServiceConf;
  readonly files: VerifiedFiles;
}

/** The outcome of first authorization. Only `authorizeFirst` makes one, and nothing is served without. */
export interface FirstAuthorization<Ledger extends LedgerFacts> {
  readonly authorized: AuthorizedLicense;
  readonly hostKey: HostKey;
  readonly ledger: Ledger;
  /** Every list that is honored here, whichever pinned vendor it is of. */
  readonly revocationLists: readonly SignedRevocationList[];
  readonly services: readonly AuthorizedService[];
}

/**
 * First authorization: everything that must hold before a port opens or a library is mapped. The steps of the
 * license itself are listed in license/authorize.ts; then come the ledger and the files of every service.
 * @param ledgerOf opens or reads the host's ledger; what it throws is reported in its place in the order
 * @param sealedFiles what this process has sealed before: the same content is in memory once
 */
export async function authorizeFirst<Ledger extends LedgerFacts>(
  data: DataDirectory,
  ledgerOf: (hostKey: HostKey) => Ledger | Promise<Ledger>,
  sealedFiles: SealedFiles = new SealedFiles(),
): Promise<FirstAuthorization<Ledger>> {
  const licenseFile = await readLicenseFile(join(data.licenseDir, "license.lic"));
  parseLicenseEnvelope(licenseFile);
  const roots = await loadTrustRoots(data.trustDir);
  // Before anything else is opened here, the host's key above all. authorizeLicense takes these steps first as well.
  verifySignedLicense(licenseFile, roots);
  const revocationLists = await loadRevocationLists(data.revocationDir, roots);
  const hostKey = await openOwnHostKey(data);
  const machine = await readHostMachine();
  const ledger = await attempt(() => ledgerOf(hostKey));
  const confFile = await attempt(() => readConfFile(join(data.licenseDir, "license.conf")));

  const facts = ledger instanceof SignetError ? nothingKnown : ledger;
  const authorized = await authorizeLicense({
    licenseFile,
    // Asked for in its place in the order, and not before then an error.
    get confFile() {
      if (confFile instanceof SignetError) throw confFile;
      return confFile;
    },
    roots,
    revocationLists,
    revocationNumbers: facts.revocationNumbers,
    highestSequence: (licenseId) => facts.highestSequence(licenseId),
    isDeactivated: (licenseId) => facts.isDeactivated(licenseId),
    now: new Date(),
    highWaterMs: facts.highWaterMs,
    hostKey,
    machine,
  });
  if (ledger instanceof SignetError) throw ledger;
  const services = await verifyServices(data, authorized, sealedFiles);
  return { authorized, hostKey, ledger, revocationLists, services };
}

/** What cannot be used is an error in its own place in the order, not before the license was looked at. */
async function attempt<T>(open: () => T | Promise<T>): Promise<T | SignetError> {
  try {
    return await open();
  } catch (error) {
    return SignetError.from(error);
  }
}

const nothingKnown: LedgerFacts = {
  highestSequence: () => 0,
  isDeactivated: () => false,
  revocationNumbers: [],
  highWaterMs: 0,
};

/**
 * Verifies and seals the files of every service, while a server that runs answers calls.
 * @throws what verifyFiles throws
 */
async function verifyServices(
  data: DataDirectory,
  { conf }: AuthorizedLicense,
  sealedFiles: SealedFiles,
): Promise<AuthorizedService[]> {
  const services: AuthorizedService[] = [];
  // One after another: what two services share is then sealed once.
  for (const service of conf.services) {
    const directory = join(data.licenseDir, "files", service.name);
    services.push({ conf: service, files: await verifyFilesAside(directory, service.files, sealedFiles) });
  }
  return services;
}

export async function loadRevocationLists(
  directory: string,
  roots: readonly TrustRoot[],
): Promise<SignedRevocationList[]> {
  let names: string[];
  try {
    names = (await readdir(directory)).filter((name) => name.endsWith(".crl")).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(directory, error);
  }
  const pinned = names.filter((name) => isOfPinnedRoot(name, roots));
  return Promise.all(pinned.map((name) => loadRevocationList(join(directory, name), roots)));
}

/** The list of a vendor whose root is pinned no longer could not be verified, and concerns no license here. */
function isOfPinnedRoot(name: string, roots: readonly TrustRoot[]): boolean {
  const rootKeyId = /^([0-9a-f]{64})-[0-9a-f]{64}\.crl$/.exec(name)?.[1];
  return rootKeyId === undefined || roots.some(({ keyId }) => keyId === rootKeyId);
}

async function loadRevocationList(path: string, roots: readonly TrustRoot[]): Promise<SignedRevocationList> {
  const file = await readRevocationListFile(path);
  return inFile(path, () => parseRevocationList(file, roots)); // named, for there may be many of them
}
