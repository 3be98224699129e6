import type { JobEvent, Payload, ServiceCharges, ServiceLoad, StoredJob } from "../store.ts";
import type { Row, Sql } from "./database.ts";
import { eventFromRow, jobFromRow, payloadFromRow } from "./job-rows.ts";

/** The verbs of the store that change nothing, but for `list`. */

export async function getJob(sql: Sql, jobId: string): Promise<StoredJob | undefined> {
  const [row] = await sql.rows("select * from job where id = $1", [jobId]);
  return row === undefined ? undefined : jobFromRow(row);
}

export async function readPayload(
  sql: Sql,
  table: "job_input" | "job_output",
  jobId: string,
): Promise<Payload | undefined> {
  const [row] = await sql.rows(`select inline, sha256, bytes from ${table} where job_id = $1`, [jobId]);
  return row === undefined ? undefined : payloadFromRow(row);
}

export async function readEvents(sql: Sql, jobId: string, afterSeq: number): Promise<readonly JobEvent[]> {
  const rows = await sql.rows("select * from job_event where job_id = $1 and seq > $2 order by seq", [jobId, afterSeq]);
  return rows.map(eventFromRow);
}

export async function readLoad(sql: Sql): Promise<readonly ServiceLoad[]> {
  const rows = await sql.rows(
    `select service, cast(sum(queued) as bigint) as queued, cast(sum(running) as bigint) as running from (
       select service, waiting as queued, 0 as running from line where waiting > 0
       union all
       select service, 0 as queued, count(*) as running from job ${sql.dialect.by("job_running")}
       where state = 'running' group by service
     ) as load group by service order by service`,
  );
  return rows as unknown as readonly ServiceLoad[];
}

export async function readCharges(sql: Sql): Promise<readonly ServiceCharges[]> {
  const rows = await sql.rows("select service, runs from service_charge order by service");
  return rows as unknown as readonly ServiceCharges[];
}

/**
 * Counts those before a job in the order of `claim`. With `most` or more of them it looks at no more than that many
 * jobs of its own line, and that many of the lines before it: each of these has at least one.
 */
export async function countAhead(sql: Sql, jobId: string, most: number): Promise<number> {
  const [job] = await sql.rows(
    `select job.*, line.turn from job join line
       on line.service = job.service and line.priority = job.priority and line.identity = job.identity
     where job.id = $1 and job.state = 'queued'`,
    [jobId],
  );
  if (job === undefined || most <= 0) return 0;
  const own = await countInLine(sql, job, most);
  const others = await countInOtherLines(sql, job, (job.turn as number) + own, most);
  return Math.min(most, own + others);
}

async function countInLine(sql: Sql, job: Row, most: number): Promise<number> {
  const [row] = await sql.rows(
    `select count(*) as jobs from (
       select id from job ${sql.dialect.by("job_waiting")}
       where state = 'queued' and service = $1 and priority = $2 and identity = $3
         and (due_ms, submitted_ms, id) < ($4, $5, $6)
       order by due_ms, submitted_ms, id limit $7) as before`,
    [job.service!, job.priority!, job.identity!, job.due_ms!, job.submitted_ms!, job.id!, most],
  );
  return row!.jobs as number;
}

/** @param turn when it is the job's turn */
async function countInOtherLines(sql: Sql, job: Row, turn: number, most: number): Promise<number> {
  const rows = await sql.rows(
    `select priority, identity, turn, waiting from line ${sql.dialect.by("line_turn")}
     where service = $1 and waiting > 0 and (priority, turn) <= ($2, $3)
     order by priority, turn, identity limit $4`,
    [job.service!, job.priority!, turn, most + 1],
  );
  let jobs = 0;
  for (const line of rows) {
    if (line.priority === job.priority && line.identity === job.identity) continue;
    const waiting = line.waiting as number;
    const isFirst = (line.identity as string) < (job.identity as string);
    const turns = turn - (line.turn as number) + (isFirst ? 1 : 0);
    jobs += line.priority === job.priority ? Math.min(waiting, turns) : waiting;
  }
  return jobs;
}
