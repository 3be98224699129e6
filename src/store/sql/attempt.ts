import type { JobFailure, JobOutcome, Renewal, RenewalVerdict, StoredJob } from "../store.ts";
import { uncharge } from "./claim-jobs.ts";
import type { Row, Sql } from "./database.ts";
import { artifactsOf, currentMs, insertRows, jobFromRow, payloadBytes, payloadColumns } from "./job-rows.ts";
import { addWaiting, removeWaiting, returnTurn } from "./lines.ts";
import { moveJobs, recordEvents } from "./move-jobs.ts";

/** The verbs of the store about one claimed job. All but `cancel` come with a fence, and change nothing without it. */

export async function placeJob(sql: Sql, jobId: string, fence: number, device: string): Promise<boolean> {
  const rows = await sql.rows(
    "update job set device = $3 where id = $1 and fence = $2 and state = 'running' returning id",
    [jobId, fence, device],
  );
  return rows.length > 0;
}

/** Changes neither the job's seq nor any index: this is what is said most often. */
export async function renewJobs(
  sql: Sql,
  renewals: readonly Renewal[],
  leaseMs: number,
): Promise<readonly RenewalVerdict[]> {
  const verdicts: RenewalVerdict[] = [];
  for (const { jobId, fence, progressPermille, stage } of renewals) {
    const [row] = await sql.rows(
      `update job set
         lease_until_ms = ${sql.dialect.now} + cast($3 as bigint),
         progress_permille = case when progress_permille < $4 then $4 else progress_permille end,
         stage = $5
       where id = $1 and fence = $2 and state = 'running' returning cancel_requested`,
      [jobId, fence, leaseMs, progressPermille, stage],
    );
    verdicts.push(row === undefined ? "lost" : row.cancel_requested === 1 ? "cancel" : "ok");
  }
  return verdicts;
}

export async function completeJob(sql: Sql, { jobId, fence, runMs, outputs }: JobOutcome): Promise<boolean> {
  const nowMs = await currentMs(sql);
  const [job] = await moveJobs(sql, [jobId], {
    from: "running",
    transition: "succeed",
    event: "succeeded",
    nowMs,
    fence,
    failure: null,
    set: { run_ms: runMs },
    changes: [`bytes = bytes + ${payloadBytes(outputs)}`],
  });
  if (job === undefined) return false;
  await insertRows(sql, "job_output (job_id, inline, sha256, bytes)", [[jobId, ...payloadColumns(outputs)]]);
  for (const sha256 of artifactsOf(outputs)) {
    await sql.rows("insert into job_artifact (job_id, sha256) values ($1, $2) on conflict do nothing", [jobId, sha256]);
  }
  return true;
}

export async function failJob(
  sql: Sql,
  jobId: string,
  fence: number,
  failure: JobFailure,
  mayRetry: boolean,
): Promise<boolean> {
  const job = await lockClaimed(sql, jobId, fence);
  if (job === undefined) return false;
  const move = { from: "running", nowMs: await currentMs(sql), failure } as const;
  if (!mayRetry || job.attempts === job.max_attempts) {
    await moveJobs(sql, [jobId], { ...move, transition: "fail", event: "failed" });
  } else if (job.cancel_requested === 1) {
    await moveJobs(sql, [jobId], { ...move, transition: "cancel", event: "cancelled" });
  } else {
    await moveJobs(sql, [jobId], { ...move, transition: "retry", event: "retried" });
    await addWaiting(sql, [job]);
  }
  return true;
}

export async function confirmJobCancelled(sql: Sql, jobId: string, fence: number): Promise<boolean> {
  const nowMs = await currentMs(sql);
  const rows = await moveJobs(sql, [jobId], {
    from: "running",
    transition: "cancel",
    event: "cancelled",
    nowMs,
    fence,
  });
  return rows.length > 0;
}

export async function giveBackJob(sql: Sql, jobId: string, fence: number): Promise<boolean> {
  const job = await lockClaimed(sql, jobId, fence);
  if (job === undefined) return false;
  await uncharge(sql, jobId, job.attempts as number);
  const move = { from: "running", nowMs: await currentMs(sql), changes: ["attempts = attempts - 1"] } as const;
  if (job.cancel_requested === 1) {
    await moveJobs(sql, [jobId], { ...move, transition: "cancel", event: "cancelled" });
  } else {
    await moveJobs(sql, [jobId], { ...move, transition: "retry", event: "retried" });
    await returnTurn(sql, job);
  }
  return true;
}

export async function cancelJob(sql: Sql, jobId: string): Promise<StoredJob | undefined> {
  const job = await lockJob(sql, jobId);
  if (job === undefined) return undefined;
  const nowMs = await currentMs(sql);
  if (job.state === "queued") {
    await removeWaiting(sql, [job]);
    const [row] = await moveJobs(sql, [jobId], { from: "queued", transition: "cancel", event: "cancelled", nowMs });
    return jobFromRow(row!);
  }
  if (job.state !== "running" || job.cancel_requested === 1) return jobFromRow(job);
  const [row] = await sql.rows("update job set cancel_requested = 1, seq = seq + 1 where id = $1 returning *", [jobId]);
  await recordEvents(sql, [jobId], "cancel-requested", nowMs);
  return jobFromRow(row!);
}

/** Takes the lock of its service, without which no job comes to a line or leaves it, and then that of the job. */
async function lockJob(sql: Sql, jobId: string): Promise<Row | undefined> {
  const [job] = await sql.rows("select service from job where id = $1", [jobId]);
  if (job === undefined) return undefined;
  await sql.lock([`service ${job.service}`]);
  const [row] = await sql.rows(`select * from job where id = $1 ${sql.dialect.forUpdate}`, [jobId]);
  return row;
}

async function lockClaimed(sql: Sql, jobId: string, fence: number): Promise<Row | undefined> {
  const job = await lockJob(sql, jobId);
  return job?.state === "running" && job.fence === fence ? job : undefined;
}
