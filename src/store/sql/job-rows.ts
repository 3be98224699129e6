import type { JobState } from "../job-state.ts";
import type { JobEvent, JobFailure, Payload, StoredJob } from "../store.ts";
import type { Row, Sql, SqlValue } from "./database.ts";
import { NEVER_MS } from "./first-tables.ts";

/** Between rows and what the store's words are. */

export function jobFromRow(row: Row): StoredJob {
  return {
    id: row.id as string,
    identity: row.identity as string,
    client: row.client as string,
    peer: row.peer as string,
    service: row.service as string,
    version: row.version as string,
    priority: row.priority as number,
    deadlineMs: row.due_ms === NEVER_MS ? null : (row.due_ms as number),
    labels: JSON.parse(row.labels as string) as Record<string, string>,
    idempotencyKey: row.idempotency_key as string | null,
    maxAttempts: row.max_attempts as number,
    state: row.state as JobState,
    isCancelRequested: row.cancel_requested === 1,
    attempts: row.attempts as number,
    device: row.device as string | null,
    submittedMs: row.submitted_ms as number,
    startedMs: row.started_ms as number | null,
    endedMs: row.ended_ms as number | null,
    progressPermille: row.progress_permille as number,
    stage: row.stage as number,
    failure: failureFromRow(row),
    runMs: row.run_ms as number | null,
    seq: row.seq as number,
  };
}

export function eventFromRow(row: Row): JobEvent {
  return {
    jobId: row.job_id as string,
    seq: row.seq as number,
    timeMs: row.time_ms as number,
    type: row.type as JobEvent["type"],
    state: row.state as JobState,
    attempt: row.attempt as number,
    failure: failureFromRow(row),
  };
}

export function payloadFromRow({ inline, sha256, bytes }: Row): Payload {
  if (!(inline instanceof Uint8Array)) return { sha256: sha256 as string, bytes: bytes as number };
  // pg gives Buffers, which may be parts of larger ones.
  return { inline: new Uint8Array(inline.buffer, inline.byteOffset, inline.byteLength) };
}

/** For the columns inline, sha256, bytes. */
export function payloadColumns(payload: Payload): readonly SqlValue[] {
  return "inline" in payload
    ? [payload.inline, null, payload.inline.byteLength]
    : [null, payload.sha256, payload.bytes];
}

export function payloadBytes(payload: Payload): number {
  return "inline" in payload ? payload.inline.byteLength : payload.bytes;
}

/** Digests of what lies in the artifact store: of a payload, if it does, and what else is named. */
export function artifactsOf(payload: Payload, named: readonly string[] = []): readonly string[] {
  return [...new Set("inline" in payload ? named : [payload.sha256, ...named])];
}

/** The database's time: a verb asks once, so that all that it writes has the same. */
export async function currentMs(sql: Sql): Promise<number> {
  const [row] = await sql.rows(`select ${sql.dialect.now} as now`);
  return row!.now as number;
}

/** PostgreSQL takes 65535 parameters in a statement, SQLite 32766; few sizes make few different statements. */
const ROWS_AT_A_TIME = 32;

export async function insertRows(sql: Sql, into: string, rows: readonly (readonly SqlValue[])[]): Promise<void> {
  for (let first = 0; first < rows.length; first += ROWS_AT_A_TIME) {
    const some = rows.slice(first, first + ROWS_AT_A_TIME);
    const width = some[0]!.length;
    const values = some.map((row, index) => `(${row.map((_, column) => `$${index * width + column + 1}`).join(", ")})`);
    await sql.rows(`insert into ${into} values ${values.join(", ")}`, some.flat());
  }
}

function failureFromRow(row: Row): JobFailure | null {
  return row.failure_code === null
    ? null
    : { code: row.failure_code as string, message: row.failure_message as string };
}
