import type { AuditLog } from "../audit/index.ts";
import type { DataDirectory } from "../config/index.ts";
import type { ServiceEvent } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import { loadTrustRoots } from "../license/index.ts";
import { readTokens, type TokenRecord } from "./access-file.ts";
import type { FirstAuthorization, LedgerFacts } from "./first-authorization.ts";

/** What a server tells its audit log, and in which words. */

/** Says what runs and why it may. */
export function recordAuthorization(
  audit: AuditLog,
  event: "license.authorized" | "license.renewed",
  first: FirstAuthorization<LedgerFacts>,
): void {
  const { license, fingerprint } = first.authorized;
  const { licenseId, sequence, vendor, customer, expires } = license;
  audit.record({ event, detail: { licenseId, sequence, vendor, customer, expires } });
  if (fingerprint.changedTypes.length > 0) {
    audit.record({ event: "license.warning", detail: { changedHardware: [...fingerprint.changedTypes] } });
  }
  for (const { conf, files } of first.services) {
    const detail = { service: conf.name, version: conf.version, files: conf.files.length, bytes: files.bytes };
    audit.record({ event: "library.verified", detail });
  }
}

/** Says why a license was not accepted, and waits until that is on disk. */
export async function recordRefusal(audit: AuditLog, thrown: unknown): Promise<void> {
  const { code, message } = SignetError.from(thrown);
  audit.record({ event: "license.refused", code, detail: { message } });
  await audit.flush();
}

/** Who is trusted and let in as the server starts: what was set up before there was a log is told here. */
export async function recordStart(
  audit: AuditLog,
  data: DataDirectory,
  facts: {
    readonly address: string;
    readonly http: string | null;
    readonly metrics: string | null;
    readonly tls: boolean;
    readonly version: string;
  },
): Promise<void> {
  const trustRoots = await loadTrustRoots(data.trustDir).then((roots) => roots.map(({ keyId }) => keyId), unknown);
  const access = await Promise.resolve(data.accessFile).then(readTokens).then(namesOf, unknown);
  audit.record({ event: "server.started", detail: { ...facts, trustRoots, access } });
}

/** Somebody may be changing the files at this moment; that must not keep a server from serving. */
const unknown = () => ["unknown"];

function namesOf(records: readonly TokenRecord[]): string[] {
  return records.map(({ id, name }) => `${id} ${name}`);
}

export function recordServiceEvent(audit: AuditLog, service: string, event: ServiceEvent): void {
  if (event.type === "ended") {
    const { code, message } = event.error;
    audit.record({ event: "service.ended", code, detail: { service, message, restartInMs: event.restartInMs } });
  } else if (event.type === "state" && event.state === "quarantined") {
    const { code, message } = event.reason;
    audit.record({ event: "service.quarantined", code, detail: { service, message } });
  } else if (event.type === "state" && event.state === "refused") {
    const { code } = event.reason;
    audit.record({
      event: code === "LIBRARY_CHANGED" ? "library.changed" : "service.refused",
      code,
      detail: { service },
    });
  }
}
