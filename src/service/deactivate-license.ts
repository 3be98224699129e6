import type { DataDirectory } from "../config/index.ts";
import { createDeactivationReceipt, type License, openHostKey, verifyHostKey } from "../license/index.ts";
import { openHostLedger } from "./host-ledger.ts";
import { readInstalledLicense } from "./installed-license.ts";

export interface DeactivatedLicense {
  readonly license: License;
  /** PEM text, for the vendor. */
  readonly receipt: string;
  readonly totals: Readonly<Record<string, { readonly runs: number; readonly runTimeMs: number }>>;
}

/**
 * Gives the installed license back: the ledger's last word on it, after which no sequence of it is accepted on this
 * host, and the receipt that lets the vendor issue what is left of it for another host. A second time it makes the
 * receipt anew, so a lost one is no harm.
 *
 * @throws LICENSE_MISSING, HOST_KEY_MISMATCH; LEDGER_BUSY while a server runs; LEDGER_*
 */
export async function deactivateLicense(data: DataDirectory): Promise<DeactivatedLicense> {
  const { license } = await readInstalledLicense(data);
  const hostKey = await openHostKey(data.hostDir);
  verifyHostKey(license, hostKey);
  const ledger = await openHostLedger(data, hostKey);
  try {
    const { licenseId } = license;
    const sequence = Math.max(license.sequence, ledger.highestSequence(licenseId));
    ledger.deactivate(licenseId);
    const head = ledger.head(licenseId);
    const receipt = createDeactivationReceipt({ hostKey, licenseId, sequence, ledger: head });
    return { license, receipt, totals: head.totals };
  } finally {
    ledger.close();
  }
}
