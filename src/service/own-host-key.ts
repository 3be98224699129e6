import { existsSync } from "node:fs";
import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { type HostKey, openHostKey } from "../license/index.ts";

/**
 * The key of the host that this data directory belongs to.
 *
 * @throws HOST_KEY_LOST where there is none but a ledger, which a new key could not read: making one would end in
 * a ledger that looks tampered with. HOST_KEY_MISSING, HOST_KEY_UNSAFE, HOST_KEY_INVALID
 */
export async function openOwnHostKey(data: DataDirectory): Promise<HostKey> {
  try {
    return await openHostKey(data.hostDir);
  } catch (error) {
    if (!(error instanceof SignetError) || error.code !== "HOST_KEY_MISSING") throw error;
    const ledger = [data.ledgerDir, data.ledgerAnchorFile].find((path) => existsSync(path));
    if (ledger === undefined) throw error;
    throw new SignetError("HOST_KEY_LOST", `${error.message}, but ${ledger} belongs to it`);
  }
}
