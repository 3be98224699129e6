import type { Retention } from "../store.ts";
import type { Database, Row, Sql } from "./database.ts";
import { currentMs } from "./job-rows.ts";
import { idsOf } from "./move-jobs.ts";

/** The verb `prune` of the store. It forgets jobs by parts, so that others get their turn in between. */
const JOBS_AT_A_TIME = 256;

export async function pruneJobs(database: Database, retention: Retention): Promise<readonly string[]> {
  const released = new Set<string>();
  while (true) {
    const part = await database.transaction((sql) => forgetSome(sql, retention));
    for (const sha256 of part.released) released.add(sha256);
    if (part.jobs === 0) break;
  }
  while (await database.shrink());
  return [...released];
}

/** @returns how many jobs, and what no job is left for */
async function forgetSome(sql: Sql, { maxAgeMs, maxBytes }: Retention) {
  await sql.lock(["prune"]);
  const ended = `from job ${sql.dialect.by("job_ended")} where ended_ms is not null`;
  const [kept] = await sql.rows(`select cast(coalesce(sum(bytes), 0) as bigint) as bytes ${ended}`);
  const oldest = await sql.rows(`select id, ended_ms, bytes ${ended} order by ended_ms, id limit $1`, [JOBS_AT_A_TIME]);
  const endedBeforeMs = (await currentMs(sql)) - maxAgeMs;
  let excess = (kept!.bytes as number) - maxBytes;
  const forgotten: Row[] = [];
  for (const job of oldest) {
    if (excess <= 0 && (job.ended_ms as number) >= endedBeforeMs) break;
    excess -= job.bytes as number;
    forgotten.push(job);
  }
  return { jobs: forgotten.length, released: await forget(sql, idsOf(forgotten)) };
}

async function forget(sql: Sql, ids: readonly string[]): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  const used = await sql.rows(`select distinct sha256 from job_artifact where ${sql.dialect.isIn("job_id", "$1")}`, [
    ids,
  ]);
  await sql.rows(`delete from job where ${sql.dialect.isIn("id", "$1")}`, [ids]);
  const artifacts = used.map(({ sha256 }) => sha256 as string);
  const left = await sql.rows(`select distinct sha256 from job_artifact where ${sql.dialect.isIn("sha256", "$1")}`, [
    artifacts,
  ]);
  const stillUsed = new Set(left.map(({ sha256 }) => sha256));
  return artifacts.filter((sha256) => !stillUsed.has(sha256));
}
