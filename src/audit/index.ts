export { appendAudit } from "./append-audit.ts";
export { type AuditLog, openAuditLog } from "./audit-log.ts";
export type { AuditPlace } from "./audit-place.ts";
export type { AuditDetail, AuditEntry, AuditRecord } from "./audit-record.ts";
export { readAudit } from "./read-audit.ts";
