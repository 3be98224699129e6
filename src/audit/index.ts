export { appendAudit } from "./append-audit.ts";
export { type AuditLog, openAuditLog } from "./audit-log.ts";
export type { AuditPlace } from "./audit-place.ts";
export { type AuditDetail, type AuditEntry, type AuditEvent, type AuditRecord, auditEvents } from "./audit-record.ts";
export { type AuditFault, type AuditReading, readAudit } from "./read-audit.ts";
export type { RefusedCall } from "./refused-calls.ts";
