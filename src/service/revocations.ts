import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import {
  isSameSigner,
  loadTrustRoots,
  openHostKey,
  parseRevocationList,
  type RevocationNumber,
  replaceFile,
  type SignedRevocationList,
} from "../license/index.ts";
import { loadRevocationLists } from "./first-authorization.ts";
import { openHostLedger, readHostLedger } from "./host-ledger.ts";

export interface InstalledRevocations {
  readonly list: SignedRevocationList;
  /** False while a running server has the ledger; that server writes the number down when it honors the list. */
  readonly remembered: boolean;
}

/**
 * Installs a vendor's revocation list in the place of that signer's earlier one. Its number goes into the ledger, so
 * that neither deleting the file nor putting an older one there brings a withdrawn license back.
 *
 * @throws REVOCATION_LIST_INVALID; REVOCATION_LIST_SUPERSEDED for a list older than one that was installed or used
 */
export async function installRevocationList(data: DataDirectory, file: Uint8Array): Promise<InstalledRevocations> {
  const roots = await loadTrustRoots(data.trustDir);
  const list = parseRevocationList(file, roots);
  const installed = await loadRevocationLists(data.revocationDir, roots);
  verifySigner(list, installed);
  verifyContinues(list, installed);
  verifyNewer(list, await honoredNumbers(data));
  await mkdir(data.revocationDir, { recursive: true, mode: 0o700 });
  const path = join(data.revocationDir, `${list.rootKeyId}-${list.signerKeyId}.crl`);
  await replaceFile(path, Buffer.from(file).toString("latin1"), 0o600);
  return { list, remembered: await remember(data, list) };
}

/** The lists that are honored here. @throws REVOCATION_LIST_INVALID, TRUST_ROOT_* */
export async function readRevocationLists(data: DataDirectory): Promise<SignedRevocationList[]> {
  return await loadRevocationLists(data.revocationDir, await loadTrustRoots(data.trustDir));
}

/** Who stole an issuer's key could otherwise go on withdrawing licenses of the same vendor. */
function verifySigner({ rootKeyId, signerKeyId }: RevocationNumber, installed: readonly SignedRevocationList[]): void {
  const isWithdrawn = installed.some((list) => list.rootKeyId === rootKeyId && list.issuers.includes(signerKeyId));
  if (isWithdrawn) {
    throw new SignetError("REVOCATION_LIST_INVALID", `revocation list: its signer ${signerKeyId} was withdrawn`);
  }
}

/** It replaces the signer's earlier list, so it must hold all of it. */
function verifyContinues(list: SignedRevocationList, installed: readonly SignedRevocationList[]): void {
  for (const earlier of installed.filter((each) => isSameSigner(each, list))) {
    verifyNewer(list, [earlier]);
    const missing =
      earlier.licenses.find((id) => !list.licenses.includes(id)) ??
      earlier.issuers.find((id) => !list.issuers.includes(id));
    if (missing === undefined) continue;
    const code = earlier.number === list.number ? "REVOCATION_LIST_SUPERSEDED" : "REVOCATION_LIST_INVALID";
    throw new SignetError(code, `revocation list ${list.number}: leaves out ${missing} of list ${earlier.number}`);
  }
}

function verifyNewer(list: RevocationNumber, honored: readonly RevocationNumber[]): void {
  for (const seen of honored) {
    if (!isSameSigner(seen, list) || list.number >= seen.number) continue;
    throw new SignetError(
      "REVOCATION_LIST_SUPERSEDED",
      `revocation list: expected number ${seen.number} or higher, found ${list.number}`,
    );
  }
}

/** A host without a key has honored nothing yet. */
async function honoredNumbers(data: DataDirectory): Promise<readonly RevocationNumber[]> {
  const hostKey = await openHostKey(data.hostDir).catch(withoutKey);
  return hostKey === undefined ? [] : readHostLedger(data, hostKey).revocationNumbers;
}

/** Returns whether the ledger has it; a host whose ledger was not begun has nothing to lose yet. */
async function remember(data: DataDirectory, list: RevocationNumber): Promise<boolean> {
  const hostKey = await openHostKey(data.hostDir).catch(withoutKey);
  if (hostKey?.ledgerId === undefined) return false;
  try {
    const ledger = await openHostLedger(data, hostKey);
    try {
      ledger.admitRevocations([list]);
    } finally {
      ledger.close();
    }
    return true;
  } catch (error) {
    if (error instanceof SignetError && error.code === "LEDGER_BUSY") return false;
    throw error;
  }
}

function withoutKey(error: unknown): undefined {
  if (error instanceof SignetError && error.code === "HOST_KEY_MISSING") return undefined;
  throw error;
}
