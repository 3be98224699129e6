import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import {
  bindLedger,
  type HostKey,
  type Ledger,
  type LedgerPlace,
  type LedgerState,
  openLedger,
  readLedger,
} from "../license/index.ts";
import { lockExclusively } from "../plugin/index.ts";

/**
 * The one ledger of this host. It is begun once: its id is then written into host.key, and from there on a host
 * without that very ledger is refused, even where journal and both anchors were deleted.
 *
 * @throws LEDGER_BUSY, LEDGER_MISSING, LEDGER_TAMPERED, LEDGER_ROLLED_BACK, LEDGER_UNWRITABLE, FILE_UNREADABLE
 */
export async function openHostLedger(data: DataDirectory, hostKey: HostKey): Promise<Ledger> {
  const ledger = openLedger({ ...placeOf(data, hostKey), lock: lockExclusively });
  try {
    verifyIsOwn(data, hostKey, ledger.id);
    // After the ledger: a power cut between the two leaves a ledger that the next start adopts.
    if (hostKey.ledgerId === undefined) await bindLedger(data.hostDir, ledger.id);
    return ledger;
  } catch (error) {
    ledger.close();
    throw error;
  }
}

/**
 * What the ledger says, without changing it and whether or not a server has it open; empty where none was begun.
 *
 * @throws LEDGER_MISSING, LEDGER_TAMPERED, LEDGER_ROLLED_BACK, FILE_UNREADABLE
 */
export function readHostLedger(data: DataDirectory, hostKey: HostKey): LedgerState {
  const state = readLedger(placeOf(data, hostKey));
  if (state.sequence >= 0) verifyIsOwn(data, hostKey, state.id);
  return state;
}

/** The ledger's key is derived from the host's, so a ledger cannot change hosts. */
function placeOf(data: DataDirectory, hostKey: HostKey): LedgerPlace & { readonly create: boolean } {
  return {
    directory: data.ledgerDir,
    anchorFile: data.ledgerAnchorFile,
    key: hostKey.deriveKey("ledger"),
    create: hostKey.ledgerId === undefined,
  };
}

function verifyIsOwn(data: DataDirectory, hostKey: HostKey, id: string): void {
  if (hostKey.ledgerId === undefined || hostKey.ledgerId === id) return;
  throw new SignetError("LEDGER_ROLLED_BACK", `${data.ledgerDir}: is another ledger than the one host.key names`);
}
