import type { Store } from "../store.ts";
import { cancelJob, completeJob, confirmJobCancelled, failJob, giveBackJob, placeJob, renewJobs } from "./attempt.ts";
import { claimJobs } from "./claim-jobs.ts";
import type { Database } from "./database.ts";
import { listJobs } from "./list-jobs.ts";
import { migrate } from "./migrations.ts";
import { freeDevices, registerHost, releaseInstance, reserveInstance } from "./placement.ts";
import { pruneJobs } from "./prune-jobs.ts";
import { countAhead, getJob, readCharges, readEvents, readLoad, readPayload } from "./read-jobs.ts";
import { submitJobs } from "./submit-jobs.ts";
import { failQueuedJobs, sweepJobs } from "./sweep-jobs.ts";

/**
 * The store in a database that speaks SQL: the table of contents of its verbs.
 * @throws STORE_UNUSABLE where a newer program made the tables
 */
export async function createSqlStore(database: Database): Promise<Store> {
  await migrate(database);
  return {
    submit: (jobs, maxQueued) => database.transaction((sql) => submitJobs(sql, jobs, maxQueued)),
    claim: (owner, service, most, leaseMs) =>
      database.transaction((sql) => claimJobs(sql, owner, service, most, leaseMs)),
    place: (jobId, fence, device) => database.transaction((sql) => placeJob(sql, jobId, fence, device)),
    renew: (renewals, leaseMs) => database.transaction((sql) => renewJobs(sql, renewals, leaseMs)),
    complete: (outcome) => database.transaction((sql) => completeJob(sql, outcome)),
    fail: (jobId, fence, failure, mayRetry) =>
      database.transaction((sql) => failJob(sql, jobId, fence, failure, mayRetry)),
    confirmCancelled: (jobId, fence) => database.transaction((sql) => confirmJobCancelled(sql, jobId, fence)),
    giveBack: (jobId, fence) => database.transaction((sql) => giveBackJob(sql, jobId, fence)),
    cancel: (jobId) => database.transaction((sql) => cancelJob(sql, jobId)),
    get: (jobId) => database.read((sql) => getJob(sql, jobId)),
    inputs: (jobId) => database.read((sql) => readPayload(sql, "job_input", jobId)),
    outputs: (jobId) => database.read((sql) => readPayload(sql, "job_output", jobId)),
    events: (jobId, afterSeq) => database.read((sql) => readEvents(sql, jobId, afterSeq)),
    list: (filter, pageSize, after) => database.read((sql) => listJobs(sql, filter, pageSize, after)),
    load: () => database.read(readLoad),
    ahead: (jobId, most) => database.read((sql) => countAhead(sql, jobId, most)),
    charges: () => database.read(readCharges),
    sweep: (owner) => sweepJobs(database, owner),
    failQueued: (service, failure) => failQueuedJobs(database, service, failure),
    prune: (retention) => pruneJobs(database, retention),
    registerHost: (owner, devices) => database.transaction((sql) => registerHost(sql, owner, devices)),
    reserve: (owner, service, slot, needs, gpus) =>
      database.transaction((sql) => reserveInstance(sql, owner, service, slot, needs, gpus)),
    release: (instance, fence) => database.transaction((sql) => releaseInstance(sql, instance, fence)),
    free: (host) => database.read((sql) => freeDevices(sql, host)),
    close: () => database.close(),
  };
}
