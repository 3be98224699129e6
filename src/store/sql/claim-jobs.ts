import type { JobClaim, JobOwner } from "../store.ts";
import type { Row, Sql } from "./database.ts";
import { currentMs, jobFromRow, payloadFromRow } from "./job-rows.ts";
import { nextLines, takeTurns, type WaitingLine } from "./lines.ts";
import { idsOf, moveJobs } from "./move-jobs.ts";

/** The verb `claim` of the store. */
export async function claimJobs(
  sql: Sql,
  owner: JobOwner,
  service: string,
  most: number,
  leaseMs: number,
): Promise<readonly JobClaim[]> {
  await sql.lock([`service ${service}`]);
  const nowMs = await currentMs(sql);
  const ids = await takeNext(sql, service, most, nowMs);
  const rows = await moveJobs(sql, ids, {
    from: "queued",
    transition: "claim",
    event: "claimed",
    nowMs,
    set: {
      owner_host: owner.host,
      owner_life: owner.life,
      lease_until_ms: nowMs + leaseMs,
      started_ms: nowMs,
      device: null,
      progress_permille: 0,
      stage: 0,
    },
    changes: ["attempts = attempts + 1", "fence = fence + 1"],
  });
  await charge(sql, service, ids, nowMs);
  return await claimsInOrder(sql, ids, rows);
}

/** A line while jobs are taken from it. */
interface OpenLine {
  readonly line: WaitingLine;
  /** Its next jobs, once somebody looked. */
  ids: readonly string[] | undefined;
  taken: number;
}

/** The ids of the jobs that are next, whose lines have had their turns then. */
async function takeNext(sql: Sql, service: string, most: number, nowMs: number): Promise<readonly string[]> {
  // As many lines as jobs are enough, since each has one that can be claimed.
  const found = await nextLines(sql, service, most, nowMs);
  const lines: OpenLine[] = found.map((line) => ({ line, ids: undefined, taken: 0 }));
  let open = lines;
  const ids: string[] = [];
  while (ids.length < most) {
    const next = nextInTurn(open);
    if (next === undefined) break;
    next.ids ??= await nextOfLine(sql, next.line, most - ids.length, nowMs);
    const id = next.ids[next.taken];
    if (id === undefined) open = open.filter((line) => line !== next);
    else {
      ids.push(id);
      next.taken++;
    }
  }
  for (const { line, taken } of lines) if (taken > 0) await takeTurns(sql, line, taken);
  return ids;
}

/** The smallest priority, then the smallest turn; where these are the same, by name, as in `nextLines`. */
function nextInTurn(lines: readonly OpenLine[]): OpenLine | undefined {
  const isBefore = (a: OpenLine, b: OpenLine) => {
    if (a.line.priority !== b.line.priority) return a.line.priority < b.line.priority;
    const turns = a.line.turn + a.taken - (b.line.turn + b.taken);
    return turns === 0 ? a.line.identity < b.line.identity : turns < 0;
  };
  return lines.reduce<OpenLine | undefined>(
    (first, line) => (first && !isBefore(line, first) ? first : line),
    undefined,
  );
}

async function nextOfLine(sql: Sql, line: WaitingLine, most: number, nowMs: number): Promise<readonly string[]> {
  const rows = await sql.rows(
    `select id from job ${sql.dialect.by("job_waiting")}
     where state = 'queued' and service = $1 and priority = $2 and identity = $3 and due_ms > $4
     order by due_ms, submitted_ms, id limit $5`,
    [line.service, line.priority, line.identity, nowMs, most],
  );
  return idsOf(rows);
}

/** Counts a run for each, in the transaction that lets it run. */
async function charge(sql: Sql, service: string, ids: readonly string[], nowMs: number): Promise<void> {
  if (ids.length === 0) return;
  await sql.rows(
    `insert into charge (job_id, attempt, service, charged_ms)
     select id, attempts, service, cast($2 as bigint) from job where ${sql.dialect.isIn("id", "$1")}`,
    [ids, nowMs],
  );
  await sql.rows(
    `insert into service_charge (service, runs) values ($1, $2)
     on conflict (service) do update set runs = service_charge.runs + excluded.runs`,
    [service, ids.length],
  );
}

/** Takes a run back that never began. */
export async function uncharge(sql: Sql, jobId: string, attempt: number): Promise<void> {
  const [row] = await sql.rows("delete from charge where job_id = $1 and attempt = $2 returning service", [
    jobId,
    attempt,
  ]);
  if (row !== undefined) await sql.rows("update service_charge set runs = runs - 1 where service = $1", [row.service!]);
}

async function claimsInOrder(sql: Sql, ids: readonly string[], rows: readonly Row[]): Promise<readonly JobClaim[]> {
  if (ids.length === 0) return [];
  const inputs = await sql.rows(
    `select job_id, inline, sha256, bytes from job_input where ${sql.dialect.isIn("job_id", "$1")}`,
    [ids],
  );
  const inputOf = new Map(inputs.map((row) => [row.job_id, payloadFromRow(row)]));
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => {
    const row = rowOf.get(id)!;
    return { job: jobFromRow(row), inputs: inputOf.get(id)!, fence: row.fence as number };
  });
}
