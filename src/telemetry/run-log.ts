import { openLineFile } from "./line-file.ts";
import type { Log } from "./log.ts";

/** One finished job. */
export interface RunRecord {
  /** When the job ended, ISO 8601 in UTC. */
  readonly time: string;
  readonly service: string;
  readonly version: string;
  readonly jobId: string;
  /** The access token's name, never the token; null where none was needed. */
  readonly client: string | null;
  /** The client's address, without its port. */
  readonly peer: string;
  /** Time in the plugin. */
  readonly durationMs: number;
  /** Time between arrival and start. */
  readonly queueMs: number;
  /** "OK" or an error code. */
  readonly outcome: string;
  /** Whether the ledger was debited a run for it: those lines and the ledger's totals are two counts of the same. */
  readonly charged: boolean;
  /** Runs the license still has for the service; null for unlimited. */
  readonly runsLeft: number | null;
}

export interface RunLog {
  /** Remembers the record and writes it soon; never throws and never waits. */
  append(record: RunRecord): void;
  /** Opens the file anew, after logrotate has renamed it (SIGHUP). */
  reopen(): void;
  /** Resolves when everything appended so far is written, or has failed to be. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The run log: one JSON line per job, appended. It informs and charges nothing (that is the ledger), so a
 * failing disk costs lines here, is logged once until it works again, and never fails a job.
 */
export function openRunLog(file: string, log: Log): RunLog {
  const lines = openLineFile({ file, what: "the run log", log });
  return {
    append: (record) => {
      lines.append(JSON.stringify(record));
    },
    reopen: () => lines.reopen(),
    flush: () => lines.flush(),
    close: () => lines.close(),
  };
}
