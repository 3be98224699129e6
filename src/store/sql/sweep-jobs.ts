import type { JobFailure, JobOwner, StoredJob } from "../store.ts";
import type { Database, Row, Sql } from "./database.ts";
import { NEVER_MS } from "./first-tables.ts";
import { currentMs, jobFromRow } from "./job-rows.ts";
import { addWaiting, forgetEmptyLines, removeWaiting } from "./lines.ts";
import { idsOf, moveJobs } from "./move-jobs.ts";

/** The verbs of the store that look after many jobs. They do so by parts, so that others get their turn in between. */
const JOBS_AT_A_TIME = 256;

export async function sweepJobs(database: Database, owner: JobOwner): Promise<readonly StoredJob[]> {
  const changed = [
    ...(await byParts(database, (sql) => takeFromLost(sql, owner))),
    ...(await byParts(database, failOverdue)),
  ];
  await database.transaction(forgetEmptyLines);
  return changed;
}

export async function failQueuedJobs(
  database: Database,
  service: string,
  failure: JobFailure,
): Promise<readonly StoredJob[]> {
  return await byParts(database, async (sql) => {
    await sql.lock([`service ${service}`]);
    const rows = await sql.rows(
      `select * from job ${sql.dialect.by("job_waiting")} where state = 'queued' and service = $1 limit $2`,
      [service, JOBS_AT_A_TIME],
    );
    return await failWaiting(sql, rows, failure);
  });
}

async function byParts(database: Database, part: (sql: Sql) => Promise<readonly Row[]>): Promise<StoredJob[]> {
  const jobs: StoredJob[] = [];
  while (true) {
    const rows = await database.transaction(part);
    if (rows.length === 0) return jobs;
    for (const row of rows) jobs.push(jobFromRow(row));
  }
}

/** Running jobs of those who are gone wait again, or end. */
async function takeFromLost(sql: Sql, owner: JobOwner): Promise<readonly Row[]> {
  const isLost = `state = 'running' and (lease_until_ms <= ${sql.dialect.now} or (owner_host = $1 and owner_life <> $2))`;
  const found = await sql.rows(
    `select id, service from job ${sql.dialect.by("job_running")} where ${isLost} limit $3`,
    [owner.host, owner.life, JOBS_AT_A_TIME],
  );
  if (found.length === 0) return [];
  await sql.lock(servicesOf(found));
  // Looked at again, now that nobody else can do the same, and locked, so that a renewal is either before or too late.
  const rows = await sql.rows(
    `select * from job where ${sql.dialect.isIn("id", "$3")} and ${isLost} ${sql.dialect.forUpdate}`,
    [owner.host, owner.life, idsOf(found)],
  );
  const nowMs = await currentMs(sql);
  const changed: Row[] = [];
  for (const row of rows) changed.push(...(await takeFromOne(sql, row, nowMs)));
  return changed;
}

async function takeFromOne(sql: Sql, job: Row, nowMs: number): Promise<readonly Row[]> {
  const move = { from: "running", nowMs } as const;
  const id = [job.id as string];
  if (job.cancel_requested === 1) {
    return await moveJobs(sql, id, { ...move, transition: "cancel", event: "cancelled" });
  }
  const happened =
    (job.lease_until_ms as number) <= nowMs
      ? "whoever ran it said nothing any more until its lease ran out"
      : "the server that ran it ended";
  const where = job.device === null ? "" : ` on ${job.device}`;
  const message = `attempt ${job.attempts} of ${job.max_attempts} was lost${where}: ${happened}`;
  const failure = { code: "JOB_ATTEMPTS_EXHAUSTED", message };
  if (job.attempts === job.max_attempts) {
    return await moveJobs(sql, id, { ...move, transition: "fail", event: "failed", failure });
  }
  await addWaiting(sql, [job]);
  return await moveJobs(sql, id, {
    ...move,
    transition: "retry",
    event: "lost",
    failure: { ...failure, code: "JOB_ATTEMPT_LOST" },
  });
}

/** Queued jobs that can only be too late now fail. */
async function failOverdue(sql: Sql): Promise<readonly Row[]> {
  // The first part of the condition is that of the index.
  const isOverdue = `state = 'queued' and due_ms < ${NEVER_MS} and due_ms <= ${sql.dialect.now}`;
  const found = await sql.rows(`select id, service from job ${sql.dialect.by("job_due")} where ${isOverdue} limit $1`, [
    JOBS_AT_A_TIME,
  ]);
  if (found.length === 0) return [];
  await sql.lock(servicesOf(found));
  const rows = await sql.rows(`select * from job where ${sql.dialect.isIn("id", "$1")} and state = 'queued'`, [
    idsOf(found),
  ]);
  return await failWaiting(sql, rows, {
    code: "DEADLINE_EXCEEDED",
    message: "the job's deadline passed while it waited",
  });
}

/** @param rows queued jobs, whose services are locked */
async function failWaiting(sql: Sql, rows: readonly Row[], failure: JobFailure): Promise<readonly Row[]> {
  await removeWaiting(sql, rows);
  const nowMs = await currentMs(sql);
  return await moveJobs(sql, idsOf(rows), { from: "queued", transition: "fail", event: "failed", nowMs, failure });
}

function servicesOf(rows: readonly Row[]): readonly string[] {
  return [...new Set(rows.map(({ service }) => `service ${service}`))];
}
