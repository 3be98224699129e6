import { SignetError } from "../../errors.ts";
import { jobStates } from "../job-state.ts";
import type { JobFilter, JobPage } from "../store.ts";
import type { Sql, SqlParameter } from "./database.ts";
import { jobFromRow } from "./job-rows.ts";

/**
 * The verb `list` of the store. A page begins right behind the last job of the page before, by an index, so that the
 * thousandth page takes no longer than the first.
 */
export async function listJobs(sql: Sql, filter: JobFilter, pageSize: number, after: string | null): Promise<JobPage> {
  const states = [...new Set(filter.states ?? jobStates)];
  if (states.length === 0) return { jobs: [], next: null };
  const values: SqlParameter[] = [];
  const bind = (value: SqlParameter) => `$${values.push(value)}`;
  const before = after === null ? undefined : bind(idFromToken(after));
  const limit = bind(pageSize + 1);
  const ofJob = [
    ...(filter.identity === undefined ? [] : [`job.identity = ${bind(filter.identity)}`]),
    ...(filter.service === undefined ? [] : [`job.service = ${bind(filter.service)}`]),
  ];
  const labels = Object.entries(filter.labels ?? {}).map(([name, value]) => ({ name: bind(name), value: bind(value) }));
  const [first, ...others] = labels;
  const statement =
    first === undefined
      ? byState(
          sql,
          filter,
          states.map(bind),
          [...ofJob, ...(before === undefined ? [] : [`job.id < ${before}`])],
          limit,
        )
      : byLabel(first, [
          ...[...ofJob, sql.dialect.isIn("job.state", bind(states))],
          ...(before === undefined ? [] : [`label.job_id < ${before}`]),
          ...others.map(
            (label) => `exists (select 1 from job_label as other where ${isLabel("other", label)}
            and other.job_id = label.job_id)`,
          ),
        ]);
  const order = first === undefined ? "id" : "label.job_id";
  const rows = await sql.rows(`${statement} order by ${order} desc limit ${limit}`, values);
  const jobs = rows.slice(0, pageSize).map(jobFromRow);
  return { jobs, next: rows.length > pageSize ? tokenFromId(jobs.at(-1)!.id) : null };
}

/** A query for each state, since an index has the jobs of one state in order; together they make the page. */
function byState(sql: Sql, filter: JobFilter, states: readonly string[], conditions: readonly string[], limit: string) {
  const ofService = filter.service === undefined ? "job_by_state" : "job_by_service";
  const by = sql.dialect.by(filter.identity === undefined ? ofService : "job_by_identity");
  const parts = states.map(
    (state, index) => `select * from (
      select * from job ${by} where ${[`job.state = ${state}`, ...conditions].join(" and ")}
      order by job.id desc limit ${limit}) as part${index}`,
  );
  return parts.join(" union all ");
}

interface LabelParameters {
  readonly name: string;
  readonly value: string;
}

/** By one label, and the rest of the filter looked at in each job that has it. */
function byLabel(label: LabelParameters, conditions: readonly string[]): string {
  return `select job.* from job_label as label join job on job.id = label.job_id
    where ${[isLabel("label", label), ...conditions].join(" and ")}`;
}

function isLabel(table: string, { name, value }: LabelParameters): string {
  return `${table}.name = ${name} and ${table}.value = ${value}`;
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
