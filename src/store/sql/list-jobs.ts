import { SignetError } from "../../errors.ts";
import { jobStates } from "../job-state.ts";
import type { JobFilter, JobPage } from "../store.ts";
import type { Sql, SqlParameter, SqlValue } from "./database.ts";
import { jobFromRow } from "./job-rows.ts";

/**
 * The verb `list` of the store. A page begins right behind the last job of the page before, by an index, so that the
 * thousandth page takes no longer than the first.
 */
export async function listJobs(sql: Sql, filter: JobFilter, pageSize: number, after: string | null): Promise<JobPage> {
  const values: SqlParameter[] = [];
  const bind = (value: SqlValue) => `$${values.push(value)}`;
  const before = after === null ? undefined : bind(idFromToken(after));
  const limit = bind(pageSize + 1);
  const conditions = [
    ...(filter.identity === undefined ? [] : [`job.identity = ${bind(filter.identity)}`]),
    ...(filter.service === undefined ? [] : [`job.service = ${bind(filter.service)}`]),
    ...(before === undefined ? [] : [`job.id < ${before}`]),
  ];
  for (const [name, value] of Object.entries(filter.labels ?? {})) {
    conditions.push(`exists (select 1 from job_label
      where job_label.name = ${bind(name)} and job_label.value = ${bind(value)} and job_label.job_id = job.id)`);
  }
  // A query for each state, since an index has the jobs of one state in order; together they make the page.
  const ofState = (state: string, index: number) => `select * from (
    select * from job where ${[`job.state = ${bind(state)}`, ...conditions].join(" and ")}
    order by job.id desc limit ${limit}) as part${index}`;
  const states = new Set(filter.states ?? jobStates);
  if (states.size === 0) return { jobs: [], next: null };
  const parts = [...states].map(ofState);
  const rows = await sql.rows(`${parts.join(" union all ")} order by id desc limit ${limit}`, values);
  const jobs = rows.slice(0, pageSize).map(jobFromRow);
  return { jobs, next: rows.length > pageSize ? tokenFromId(jobs.at(-1)!.id) : null };
}

/** Says nothing to whoever gets it, so that what is in it may change. */
function tokenFromId(id: string): string {
  return Buffer.from(`after ${id}`).toString("base64url");
}

function idFromToken(token: string): string {
  const id = /^after ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(
    Buffer.from(token, "base64url").toString(),
  )?.[1];
  if (id === undefined || tokenFromId(id) !== token) {
    throw new SignetError(
      "REQUEST_MALFORMED",
      "page token: expected one that an earlier page came with, found another",
    );
  }
  return id;
}
