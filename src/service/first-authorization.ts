import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { fileError, inFile, SignetError } from "../errors.ts";
import {
  type AuthorizedLicense,
  authorizeLicense,
  type HostKey,
  loadTrustRoots,
  parseRevocationList,
  type RevocationList,
  readConfFile,
  readLicenseFile,
  readMachine,
  readRevocationListFile,
  type ServiceConf,
  type TrustRoot,
  verifyClock,
} from "../license/index.ts";
import { SealedFiles, type VerifiedFiles, verifyFiles } from "../plugin/index.ts";
import { openOwnHostKey } from "./own-host-key.ts";

/** What the license steps need to know from the ledger, whether it was opened to write or only read. */
export interface LedgerFacts {
  highestSequence(licenseId: string): number;
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
  readonly services: readonly AuthorizedService[];
}

/**
 * First authorization: everything that must hold before a port opens or a library is mapped. The steps of the
 * license itself are listed in license/authorize.ts; then come the ledger and the files of every service.
 * @param ledgerOf opens or reads the host's ledger; what it throws is reported in its place in the order
 */
export async function authorizeFirst<Ledger extends LedgerFacts>(
  data: DataDirectory,
  ledgerOf: (hostKey: HostKey) => Ledger | Promise<Ledger>,
): Promise<FirstAuthorization<Ledger>> {
  const licenseFile = await readLicenseFile(join(data.licenseDir, "license.lic"));
  const confFile = await readConfFile(join(data.licenseDir, "license.conf"));
  const roots = await loadTrustRoots(data.trustDir);
  const revocationLists = await loadRevocationLists(data.revocationDir, roots);
  const hostKey = await openOwnHostKey(data);
  const machine = await readMachine();
  const ledger = await attempt(() => ledgerOf(hostKey));

  const facts = ledger instanceof SignetError ? nothingKnown : ledger;
  const authorized = await authorizeLicense({
    licenseFile,
    confFile,
    roots,
    revocationLists,
    highestSequence: (licenseId) => facts.highestSequence(licenseId),
    now: new Date(Math.max(Date.now(), facts.highWaterMs)),
    hostKey,
    machine,
  });
  if (ledger instanceof SignetError) throw ledger;
  verifyClock(Date.now(), ledger.highWaterMs);
  const services = verifyServices(data, authorized);
  return { authorized, hostKey, ledger, services };
}

/** A ledger that cannot be used is an error in its own place in the order, not before the license was looked at. */
async function attempt<T>(open: () => T | Promise<T>): Promise<T | SignetError> {
  try {
    return await open();
  } catch (error) {
    return SignetError.from(error);
  }
}

const nothingKnown: LedgerFacts = { highestSequence: () => 0, highWaterMs: 0 };

/** Verifies and seals the files of every service. @throws what verifyFiles throws */
function verifyServices(data: DataDirectory, { conf }: AuthorizedLicense): AuthorizedService[] {
  const sealedFiles = new SealedFiles();
  return conf.services.map((service) => ({
    conf: service,
    files: verifyFiles(join(data.licenseDir, "files", service.name), service.files, sealedFiles),
  }));
}

export async function loadRevocationLists(directory: string, roots: readonly TrustRoot[]): Promise<RevocationList[]> {
  let names: string[];
  try {
    names = (await readdir(directory)).filter((name) => name.endsWith(".crl")).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(directory, error);
  }
  return Promise.all(names.map((name) => loadRevocationList(join(directory, name), roots)));
}

async function loadRevocationList(path: string, roots: readonly TrustRoot[]): Promise<RevocationList> {
  const file = await readRevocationListFile(path);
  return inFile(path, () => parseRevocationList(file, roots)); // named, for there may be many of them
}
