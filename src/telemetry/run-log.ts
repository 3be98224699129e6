import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
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

/** Under load lines are written together, this often: a write of a file takes two threads and several wake-ups. */
const WRITE_EVERY_MS = 20;
export const MAX_WAITING_BYTES = 8 * 1024 * 1024; // a stalled disk must not become a memory leak

/**
 * The run log: one JSON line per job, appended. It informs and charges nothing (that is the ledger), so a
 * failing disk costs lines here, is logged once until it works again, and never fails a job.
 */
export function openRunLog(file: string, log: Log): RunLog {
  let waiting: string[] = [];
  let waitingBytes = 0;
  let lost = 0;
  let failing = false;
  let handle: FileHandle | undefined;
  let stale = false;
  let writing: Promise<void> | undefined;
  let writtenAtMs = Number.NEGATIVE_INFINITY;

  function fail(cause: unknown, lines: number): void {
    lost += lines;
    if (failing) return;
    failing = true;
    log.error({ err: cause, file }, "the run log cannot be written; jobs go on without it");
  }

  async function writeWaiting(): Promise<void> {
    const lines = waiting;
    waiting = [];
    waitingBytes = 0;
    try {
      let mayBeTorn = failing;
      if (stale || handle === undefined) {
        mayBeTorn = true;
        stale = false;
        await handle?.close();
        handle = undefined;
        await mkdir(dirname(file), { recursive: true, mode: 0o700 });
        handle = await open(file, "a+", 0o600);
      }
      const begin = mayBeTorn && (await endsInMidLine(handle)) ? "\n" : "";
      if (lines.length > 0) await handle.appendFile(begin + lines.join(""));
      if (failing) log.info({ file, lost }, "the run log can be written again");
      failing = false;
      lost = 0;
    } catch (cause) {
      fail(cause, lines.length);
    }
  }

  /** At the end of this turn, so that jobs that end together become one write, or some time after the last one. */
  function untilDue(): Promise<void> {
    const waitMs = writtenAtMs + WRITE_EVERY_MS - performance.now();
    return new Promise((resolve) => {
      if (waitMs > 0) setTimeout(resolve, waitMs);
      else setImmediate(resolve);
    });
  }

  function start(): Promise<void> {
    writing ??= untilDue()
      .then(writeWaiting)
      .finally(() => {
        writtenAtMs = performance.now();
        writing = undefined;
        if (waiting.length > 0 || stale) void start(); // what came meanwhile
      });
    return writing;
  }

  return {
    append(record) {
      const line = `${JSON.stringify(record)}\n`;
      if (waitingBytes + line.length > MAX_WAITING_BYTES) {
        fail(new Error("the disk does not keep up"), 1);
        return;
      }
      waiting.push(line);
      waitingBytes += line.length;
      void start();
    },
    reopen() {
      stale = true;
      void start();
    },
    async flush() {
      while (writing !== undefined) await writing;
    },
    async close() {
      await this.flush();
      await handle?.close();
      handle = undefined;
    },
  };
}

/** A write that kill -9 or a full disk cut off must not spoil the line after it. */
async function endsInMidLine(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat();
  if (size === 0) return false;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString() !== "\n";
}
