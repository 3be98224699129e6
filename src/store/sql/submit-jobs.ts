import { SignetError } from "../../errors.ts";
import type { NewJob, StoredJob } from "../store.ts";
import type { Row, Sql, SqlValue } from "./database.ts";
import { NEVER_MS } from "./first-tables.ts";
import { artifactsOf, currentMs, insertRows, jobFromRow, payloadBytes, payloadColumns } from "./job-rows.ts";
import { addWaiting } from "./lines.ts";
import { recordEvents } from "./move-jobs.ts";

/** The verb `submit` of the store. */
export async function submitJobs(sql: Sql, jobs: readonly NewJob[], maxQueued: number): Promise<readonly StoredJob[]> {
  const identities = [...new Set(jobs.map(({ identity }) => identity))].sort();
  // Whoever submits for an identity counts its jobs and looks for their keys, so nobody else may meanwhile.
  await sql.lock(identities.map((identity) => `identity ${identity}`));
  const known = new Map<string, Row>();
  for (const identity of identities) for (const row of await findKeys(sql, identity, jobs)) known.set(keyOf(row), row);

  const fresh: NewJob[] = [];
  const ids: string[] = [];
  for (const job of jobs) {
    const key = job.idempotencyKey === null ? undefined : keyOf({ ...job, idempotency_key: job.idempotencyKey });
    const same = key === undefined ? undefined : known.get(key);
    if (same !== undefined && same.request_digest !== job.requestDigest) {
      throw new SignetError(
        "JOB_KEY_REUSED",
        `the key ${JSON.stringify(job.idempotencyKey)} belongs to job ${same.id}, which asked for something else`,
      );
    }
    if (same === undefined) fresh.push(job);
    if (same === undefined && key !== undefined) known.set(key, { id: job.id, request_digest: job.requestDigest });
    ids.push((same?.id as string | undefined) ?? job.id);
  }
  for (const identity of identities) await verifyRoom(sql, identity, fresh, maxQueued);
  await insertJobs(sql, fresh, await currentMs(sql));

  const rows = await sql.rows(`select * from job where ${sql.dialect.isIn("id", "$1")}`, [ids]);
  const byId = new Map(rows.map((row) => [row.id, jobFromRow(row)]));
  return ids.map((id) => byId.get(id)!);
}

/** The jobs of an identity that have one of these keys already. */
async function findKeys(sql: Sql, identity: string, jobs: readonly NewJob[]): Promise<readonly Row[]> {
  const keys = jobs.flatMap((job) => (job.identity === identity ? (job.idempotencyKey ?? []) : []));
  if (keys.length === 0) return [];
  return await sql.rows(
    `select id, identity, idempotency_key, request_digest from job
     where identity = $1 and ${sql.dialect.isIn("idempotency_key", "$2")} and idempotency_key is not null`,
    [identity, keys],
  );
}

function keyOf({ identity, idempotency_key }: { readonly identity?: SqlValue; readonly idempotency_key?: SqlValue }) {
  return JSON.stringify([identity, idempotency_key]);
}

async function verifyRoom(sql: Sql, identity: string, fresh: readonly NewJob[], maxQueued: number): Promise<void> {
  const more = fresh.filter((job) => job.identity === identity).length;
  if (more === 0) return;
  const [row] = await sql.rows(
    `select cast(coalesce(sum(waiting), 0) as bigint) as waiting
     from line ${sql.dialect.by("line_identity")} where identity = $1 and waiting > 0`,
    [identity],
  );
  const waiting = row!.waiting as number;
  if (waiting + more <= maxQueued) return;
  throw new SignetError("JOB_QUEUE_FULL", `${waiting} jobs wait, found ${more} more, expected at most ${maxQueued}`);
}

async function insertJobs(sql: Sql, jobs: readonly NewJob[], nowMs: number): Promise<void> {
  if (jobs.length === 0) return;
  await insertRows(
    sql,
    `job (id, identity, client, peer, service, version, priority, due_ms, labels, idempotency_key, request_digest,
      max_attempts, state, submitted_ms, bytes)`,
    jobs.map((job) => [
      ...[job.id, job.identity, job.client, job.peer, job.service, job.version, job.priority],
      ...[job.deadlineMs ?? NEVER_MS, JSON.stringify(job.labels), job.idempotencyKey, job.requestDigest],
      ...[job.maxAttempts, "queued", nowMs, payloadBytes(job.inputs)],
    ]),
  );
  await insertRows(
    sql,
    "job_input (job_id, inline, sha256, bytes)",
    jobs.map(({ id, inputs }) => [id, ...payloadColumns(inputs)]),
  );
  await insertRows(
    sql,
    "job_label (job_id, name, value)",
    jobs.flatMap(({ id, labels }) => Object.entries(labels).map(([name, value]) => [id, name, value])),
  );
  await insertRows(
    sql,
    "job_artifact (job_id, sha256)",
    jobs.flatMap(({ id, inputs, artifacts }) => artifactsOf(inputs, artifacts).map((sha256) => [id, sha256])),
  );
  await recordEvents(
    sql,
    jobs.map(({ id }) => id),
    "submitted",
    nowMs,
  );
  await addWaiting(sql, jobs as unknown as readonly Row[]);
}
