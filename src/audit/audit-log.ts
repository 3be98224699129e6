import { SignetError } from "../errors.ts";
import type { Log } from "../telemetry/index.ts";
import { appendAudit, MAX_BATCH } from "./append-audit.ts";
import type { AuditPlace } from "./audit-place.ts";
import type { AuditEntry } from "./audit-record.ts";
import { type RefusedCall, RefusedCalls } from "./refused-calls.ts";

/** What a server has to tell the audit log. */
export interface AuditLog {
  /** Remembers an entry and writes it soon; never throws and never waits. */
  record(entry: AuditEntry): void;
  /** Counts a refused call; see RefusedCalls. */
  refused(call: RefusedCall): void;
  /** How many calls were refused since the log was opened, by code. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Resolves when everything recorded so far is on disk, or has failed to be. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Entries that may wait for a disk that does not take them; then the newest are lost, and counted. */
const MAX_WAITING = 1024;
const RETRY_MS = 5000;

/**
 * The audit log of a server. It informs and permits nothing, so a disk that fails is said in the log, once until it
 * works again, and calls go on.
 */
export function openAuditLog(place: AuditPlace, log: Log): AuditLog {
  let waiting: AuditEntry[] = [];
  let lost = 0;
  let isFailing = false;
  let writing: Promise<void> | undefined;
  let retry: NodeJS.Timeout | undefined;

  function record(entry: AuditEntry): void {
    if (waiting.length < MAX_WAITING) waiting.push(entry);
    else lost++;
    if (retry === undefined) void start();
  }

  function start(): Promise<void> {
    writing ??= writeWaiting().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  async function writeWaiting(): Promise<void> {
    // Deferred by a turn, so that what happens together becomes one write.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_BATCH);
      try {
        await appendAudit(place, batch, "server");
      } catch (error) {
        if (!isFailing) log.error({ err: SignetError.from(error) }, "the audit log cannot be written; calls go on");
        isFailing = true;
        retry = setTimeout(() => {
          retry = undefined;
          void start();
        }, RETRY_MS).unref();
        return;
      }
      waiting = waiting.slice(batch.length);
      if (isFailing) log.info({ lost }, "the audit log can be written again");
      isFailing = false;
      if (lost > 0) waiting.push({ event: "audit.repaired", detail: { reason: `${lost} entries were lost` } });
      lost = 0;
    }
  }

  const refusedCalls = new RefusedCalls((entries) => {
    for (const entry of entries) record(entry);
  });

  return {
    record,
    refused: (call) => refusedCalls.add(call),
    refusals: refusedCalls.totals,
    flush: async () => {
      refusedCalls.flush();
      await start();
    },
    async close() {
      await this.flush();
      clearTimeout(retry);
    },
  };
}
