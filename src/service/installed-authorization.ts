import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import type { HostKey } from "../license/index.ts";
import type { SealedFiles } from "../plugin/index.ts";
import { authorizeFirst, type FirstAuthorization, type LedgerFacts } from "./first-authorization.ts";
import { LicenseDirectory, versionOf } from "./license-directory.ts";

/** First authorization of the installed license, for a server that goes on looking at its files. */
export interface InstalledAuthorization<Ledger extends LedgerFacts> {
  readonly first: FirstAuthorization<Ledger>;
  readonly directory: LicenseDirectory;
  /** What was installed, as versionOf says it; when it differs there is something new to judge. */
  readonly version: string;
}

/** Each try ends because somebody has just installed another license; nobody does so without end. */
const TRIES = 5;

/** What can make a license hold that did not, or the other way round. */
export function installedVersion(data: DataDirectory): Promise<string> {
  return versionOf([data.licenseDir, data.revocationDir, data.trustDir]);
}

/** @throws what authorizeFirst throws */
export async function authorizeInstalled<Ledger extends LedgerFacts>(
  data: DataDirectory,
  ledgerOf: (hostKey: HostKey) => Ledger | Promise<Ledger>,
  sealedFiles: SealedFiles,
): Promise<InstalledAuthorization<Ledger>> {
  for (let tries = 1; ; tries++) {
    const version = await installedVersion(data);
    const directory = LicenseDirectory.open(data.licenseDir);
    const isReplaced = () => tries < TRIES && directory?.isInstalled !== true;
    try {
      const first = await authorizeFirst(data, ledgerOf, sealedFiles);
      if (directory?.isInstalled) {
        for (const { conf, files } of first.services) files.watchBelow(directory.fd, join("files", conf.name));
        return { first, directory, version };
      }
      if (tries === TRIES) throw new SignetError("FILE_UNREADABLE", `${data.licenseDir}: is replaced again and again`);
      directory?.close();
    } catch (error) {
      // Half of one license and half of another are refused whatever they are.
      const again = directory !== null && isReplaced();
      directory?.close();
      if (!again) throw error;
    }
  }
}
