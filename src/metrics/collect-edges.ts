import type { AuditLog } from "../audit/index.ts";
import type { ConnectionCounts, ListenerTls } from "../listener/index.ts";
import type { Scrape } from "./scrape.ts";

export interface EdgeParts {
  /** By a word for each listener. */
  readonly connections: Readonly<Record<string, ConnectionCounts>>;
  readonly tls: ListenerTls | null;
  readonly audit: AuditLog;
}

/** Who connects, and who is not let in. */
export function collectEdges(scrape: Scrape, { connections, tls, audit }: EdgeParts): void {
  for (const [code, count] of audit.refusals) scrape.add("signet_calls_refused_total", { code }, count);
  for (const [listener, counts] of Object.entries(connections)) {
    scrape.add("signet_connections", { listener }, counts.open);
    scrape.add("signet_connections_accepted_total", { listener }, counts.accepted);
    for (const [reason, count] of counts.refused) {
      scrape.add("signet_connections_refused_total", { listener, reason }, count);
    }
    scrape.add("signet_received_bytes_total", { listener }, counts.receivedBytes);
    scrape.add("signet_sent_bytes_total", { listener }, counts.sentBytes);
  }
  if (tls === null) return;
  const { validToDate } = tls.certificate;
  scrape.add("signet_tls_certificate_expiry_timestamp_seconds", {}, validToDate.getTime() / 1000);
}
