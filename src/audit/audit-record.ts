import { z } from "zod";

/** What the audit log tells. Names are stable: they may be added, never renamed or reused. */
const auditEvents = [
  // The log itself
  "audit.began",
  "audit.continued",
  "audit.repaired",
  // The server
  "server.started",
  "server.stopped",
  "service.ended",
  "service.loaded",
  "service.unloaded",
  "service.quarantined",
  "service.released",
  "settings.changed",
  "service.refused",
  // The license
  "license.installed",
  "license.deactivated",
  "license.authorized",
  "license.refused",
  "license.renewed",
  "license.warning",
  // Files of services
  "library.verified",
  "library.changed",
  // What an administrator did
  "host.requested",
  "access.added",
  "access.removed",
  "trust.added",
  "trust.removed",
  "revocations.added",
  "tls.issued",
  "tls.reloaded",
  // Calls
  "call.refused",
] as const;
export type AuditEvent = (typeof auditEvents)[number];

const MAX_TEXT = 300;
const text = z.string().max(MAX_TEXT);
const detail = z.record(
  z.string().max(64),
  z.union([text, z.number(), z.boolean(), z.null(), z.array(text).max(64), z.array(z.number()).max(64)]),
);
export type AuditDetail = z.infer<typeof detail>;

/** One line of the log. `s` counts from 0 over all segments. */
const auditRecordSchema = z.strictObject({
  s: z.int().nonnegative(),
  time: z.iso.datetime(),
  event: z.enum(auditEvents),
  /** Who did it: `server`, or the user of the system who ran a command. */
  by: text,
  /** The error code, where something was refused or failed. */
  code: z.string().max(64).optional(),
  detail: detail.optional(),
});
export type AuditRecord = z.infer<typeof auditRecordSchema>;

/** What happened, before it gets its time and its place in the chain. */
export interface AuditEntry {
  readonly event: AuditEvent;
  readonly code?: string | undefined;
  readonly detail?: AuditDetail;
}

/** A record of bounded size: much of what is recorded was chosen by somebody else. */
export function recordFromEntry(entry: AuditEntry, s: number, time: Date, by: string): AuditRecord {
  const { event, code } = entry;
  return {
    s,
    time: time.toISOString(),
    event,
    by: shortened(by),
    ...(code === undefined ? {} : { code }),
    ...(entry.detail === undefined ? {} : { detail: boundedDetail(entry.detail) }),
  };
}

function boundedDetail(given: AuditDetail): AuditDetail {
  return Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      if (typeof value === "string") return [key, shortened(value)];
      if (!Array.isArray(value)) return [key, value];
      return [key, value.slice(0, 64).map((each) => (typeof each === "string" ? shortened(each) : each))];
    }),
  ) as AuditDetail;
}

function shortened(value: string): string {
  return (value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT - 1)}…` : value).toWellFormed();
}

export function parseAuditRecord(json: Buffer): AuditRecord | undefined {
  try {
    return auditRecordSchema.safeParse(JSON.parse(json.toString("utf8"))).data;
  } catch {
    return undefined;
  }
}
