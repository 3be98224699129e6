import { isFinal, type JobState, type JobTransition, jobStateAfter } from "../job-state.ts";
import type { JobEvent, JobFailure } from "../store.ts";
import type { Row, Sql, SqlParameter, SqlValue } from "./database.ts";

export interface Move {
  readonly from: JobState;
  readonly transition: JobTransition;
  readonly event: JobEvent["type"];
  readonly nowMs: number;
  /** What made their last attempt end; null forgets it, undefined leaves what was there. */
  readonly failure?: JobFailure | null;
  /** Further columns, and the values that they get. */
  readonly set?: Readonly<Record<string, SqlValue>>;
  /** Further changes of columns from what they were. */
  readonly changes?: readonly string[];
  /** Only a job that was claimed with this fence, and not again. */
  readonly fence?: number;
}

/**
 * The one way in which jobs come from one state to another: those of them that are in the first, with an event for each.
 * @returns the rows of those that moved
 */
export async function moveJobs(sql: Sql, ids: readonly string[], move: Move): Promise<readonly Row[]> {
  const { from, transition, event, nowMs, failure, set = {}, changes = [], fence } = move;
  if (ids.length === 0) return [];
  const to = jobStateAfter(from, transition);
  const values: SqlParameter[] = [ids];
  const bind = (value: SqlValue) => `$${values.push(value)}`;
  const columns: Record<string, SqlValue> = { state: to, ...set };
  if (from === "running") Object.assign(columns, { owner_host: null, owner_life: null, lease_until_ms: null });
  if (isFinal(to)) columns.ended_ms = nowMs;
  if (failure !== undefined) {
    columns.failure_code = failure?.code ?? null;
    columns.failure_message = failure?.message ?? null;
  }
  const assignments = Object.entries(columns).map(([column, value]) => `${column} = ${bind(value)}`);
  const rows = await sql.rows(
    `update job set ${[...assignments, ...changes, "seq = seq + 1"].join(", ")}
     where ${sql.dialect.isIn("id", "$1")} and state = ${bind(from)}
     ${fence === undefined ? "" : `and fence = ${bind(fence)}`}
     returning *`,
    values,
  );
  await recordEvents(sql, idsOf(rows), event, nowMs, failure != null);
  return rows;
}

/** Writes down what happened last to jobs, as they are now; `isFailure`: it is what their failure says. */
export async function recordEvents(
  sql: Sql,
  ids: readonly string[],
  event: JobEvent["type"],
  nowMs: number,
  isFailure = false,
): Promise<void> {
  if (ids.length === 0) return;
  await sql.rows(
    `insert into job_event (job_id, seq, time_ms, type, state, attempt, failure_code, failure_message)
     select id, seq, cast($2 as bigint), $3, state, attempts, ${isFailure ? "failure_code, failure_message" : "null, null"}
     from job where ${sql.dialect.isIn("id", "$1")}`,
    [ids, nowMs, event],
  );
}

export function idsOf(rows: readonly Row[]): readonly string[] {
  return rows.map((row) => row.id as string);
}
