import { userInfo } from "node:os";
import { type AuditEntry, type AuditLog, type AuditPlace, appendAudit, openAuditLog } from "../audit/index.ts";
import type { DataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import { type HostKey, openHostKey } from "../license/index.ts";
import { lockExclusively } from "../plugin/index.ts";
import type { Log } from "../telemetry/index.ts";

/** Where this host's audit log lies. Its key is derived from the host's, so a log cannot change hosts. */
export function auditPlaceOf(data: DataDirectory, hostKey: HostKey): AuditPlace {
  return {
    directory: data.auditDir,
    anchorFile: data.auditAnchorFile,
    key: hostKey.deriveKey("audit"),
    isOldHost: hostKey.ledgerId !== undefined,
    lock: lockExclusively,
  };
}

/**
 * Records what the user of the system did with a command. A host without a key has no audit log yet, and nothing that
 * a license would be for: the first start of its server records what was set up until then.
 *
 * @throws AUDIT_UNWRITABLE, HOST_KEY_UNSAFE, HOST_KEY_INVALID
 */
export async function recordCommand(data: DataDirectory, ...entries: readonly AuditEntry[]): Promise<void> {
  let hostKey: HostKey;
  try {
    hostKey = await openHostKey(data.hostDir);
  } catch (error) {
    if (error instanceof SignetError && error.code === "HOST_KEY_MISSING") return;
    throw error;
  }
  await appendAudit(auditPlaceOf(data, hostKey), entries, commandUser());
}

/** The server's side of this host's log. Without a usable host key there is none; first authorization says why. */
export async function openHostAudit(data: DataDirectory, log: Log): Promise<AuditLog> {
  try {
    return openAuditLog(auditPlaceOf(data, await openHostKey(data.hostDir)), log);
  } catch {
    const nothing = () => undefined;
    return {
      record: nothing,
      refused: nothing,
      refusals: new Map(),
      flush: async () => undefined,
      close: async () => undefined,
    };
  }
}

/** The user of the system, and who became that user by sudo. */
function commandUser(): string {
  const uid = process.getuid?.();
  let name: string;
  try {
    name = userInfo().username;
  } catch {
    name = `uid ${uid}`; // a container's user often has no name
  }
  const { SUDO_USER } = process.env;
  return SUDO_USER ? `${name} (sudo by ${SUDO_USER})` : name;
}
