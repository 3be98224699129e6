import type { Store } from "../store.ts";
import { ActiveVerbs } from "./active-verbs.ts";
import { cancelJob, completeJob, confirmJobCancelled, failJob, giveBackJob, placeJob, renewJobs } from "./attempt.ts";
import { claimJobs } from "./claim-jobs.ts";
import type { Database, Sql } from "./database.ts";
import { listJobs } from "./list-jobs.ts";
import { migrate } from "./migrations.ts";
import { freeDevices, registerHost, releaseInstance, reserveInstance } from "./placement.ts";
import { pruneJobs } from "./prune-jobs.ts";
import { countAhead, getJob, readCharges, readEvents, readLoad, readPayload } from "./read-jobs.ts";
import { submitJobs } from "./submit-jobs.ts";
import { failQueuedJobs, sweepJobs } from "./sweep-jobs.ts";
import { unusedArtifacts } from "./unused-artifacts.ts";

/**
 * The store in a database that speaks SQL: the table of contents of its verbs.
 * @throws STORE_UNUSABLE where a newer program made the tables
 */
export async function createSqlStore(database: Database): Promise<Store> {
  await migrate(database);
  const active = new ActiveVerbs();
  const change = <T>(verb: (sql: Sql) => Promise<T>) => active.run(() => database.transaction(verb));
  const read = <T>(verb: (sql: Sql) => Promise<T>) => active.run(() => database.read(verb));
  return {
    submit: (jobs, maxQueued) => change((sql) => submitJobs(sql, jobs, maxQueued)),
    claim: (owner, service, most, leaseMs) => change((sql) => claimJobs(sql, owner, service, most, leaseMs)),
    place: (jobId, fence, device) => change((sql) => placeJob(sql, jobId, fence, device)),
    renew: (renewals, leaseMs) => change((sql) => renewJobs(sql, renewals, leaseMs)),
    complete: (outcome) => change((sql) => completeJob(sql, outcome)),
    fail: (jobId, fence, failure, mayRetry) => change((sql) => failJob(sql, jobId, fence, failure, mayRetry)),
    confirmCancelled: (jobId, fence) => change((sql) => confirmJobCancelled(sql, jobId, fence)),
    giveBack: (jobId, fence) => change((sql) => giveBackJob(sql, jobId, fence)),
    cancel: (jobId) => change((sql) => cancelJob(sql, jobId)),
    get: (jobId) => read((sql) => getJob(sql, jobId)),
    inputs: (jobId) => read((sql) => readPayload(sql, "job_input", jobId)),
    outputs: (jobId) => read((sql) => readPayload(sql, "job_output", jobId)),
    events: (jobId, afterSeq) => read((sql) => readEvents(sql, jobId, afterSeq)),
    list: (filter, pageSize, after) => read((sql) => listJobs(sql, filter, pageSize, after)),
    load: () => read(readLoad),
    ahead: (jobId, most) => read((sql) => countAhead(sql, jobId, most)),
    charges: () => read(readCharges),
    sweep: (owner) => active.run(() => sweepJobs(database, owner)),
    failQueued: (service, failure) => active.run(() => failQueuedJobs(database, service, failure)),
    prune: (retention) => active.run(() => pruneJobs(database, retention)),
    unused: (artifacts) => read((sql) => unusedArtifacts(sql, artifacts)),
    registerHost: (owner, devices) => change((sql) => registerHost(sql, owner, devices)),
    reserve: (owner, service, slot, needs, gpus) =>
      change((sql) => reserveInstance(sql, owner, service, slot, needs, gpus)),
    release: (instance, fence) => change((sql) => releaseInstance(sql, instance, fence)),
    free: (host) => read((sql) => freeDevices(sql, host)),
    close: () => active.end(() => database.close()),
  };
}
