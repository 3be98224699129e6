import { randomBytes } from "node:crypto";
import { onTestFinished } from "vitest";
import { openStore, type StorePlace } from "./open-store.ts";
import type { JobClaim, JobOwner, NewJob, Store } from "./store.ts";

/** An empty store, and a look behind its verbs. */
export interface StoreUnderTest {
  readonly place: StorePlace;
  rows(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

export const host: JobOwner = { host: "host-1", life: "life-1" };
export const nextLife: JobOwner = { host: "host-1", life: "life-2" };
export const otherHost: JobOwner = { host: "host-2", life: "life-1" };

export const LONG_MS = 600_000;

/** Opens a store until the test ends. */
export async function useStore(place: StorePlace): Promise<Store> {
  const store = await openStore(place);
  onTestFinished(() => store.close());
  return store;
}

let made = 0;

/** A UUIDv7 that is greater than those made before. */
export function nextId(): string {
  const time = (1_700_000_000_000 + made++).toString(16).padStart(12, "0");
  const random = randomBytes(8).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(0, 12)}`;
}

export function newJob(changes: Partial<NewJob> = {}): NewJob {
  return {
    id: nextId(),
    identity: "ada",
    client: "Ada",
    peer: "10.0.0.1",
    service: "ocr",
    version: "1",
    priority: 1,
    deadlineMs: null,
    labels: {},
    idempotencyKey: null,
    requestDigest: "d1",
    maxAttempts: 3,
    inputs: { inline: Buffer.from("inputs") },
    artifacts: [],
    ...changes,
  };
}

export function newJobs(count: number, changes: Partial<NewJob> = {}): NewJob[] {
  return Array.from({ length: count }, () => newJob(changes));
}

/** Submits a job and claims it. */
export async function claimNew(store: Store, changes: Partial<NewJob> = {}, leaseMs = LONG_MS): Promise<JobClaim> {
  const job = newJob(changes);
  await store.submit([job], 1000);
  const [claim] = await store.claim(host, job.service, 1, leaseMs);
  if (claim?.job.id !== job.id) throw new Error("another job was next");
  return claim;
}

export function idsOf(jobs: readonly { readonly id: string }[]): readonly string[] {
  return jobs.map(({ id }) => id);
}

/** What must hold at any time, as queries that find what breaks it. @param isPruned jobs were, whose runs stay counted */
export async function findContradictions({ rows }: StoreUnderTest, isPruned = false): Promise<readonly unknown[]> {
  const runs = `
    select 'runs' as rule, service, sum(runs) as runs from (
      select service, runs from service_charge union all select service, -count(*) as runs from charge group by service
    ) as counts group by service having sum(runs) <> 0`;
  const broken = [
    ...(isPruned ? [] : [runs]),
    // Lines say how many wait.
    `select 'line' as rule, service, priority, identity from (
       select service, priority, identity, waiting as jobs from line where waiting > 0
       union all select service, priority, identity, -count(*) as jobs from job where state = 'queued'
       group by service, priority, identity) as counts
     group by service, priority, identity having sum(jobs) <> 0`,
    // A job's events are numbered without a gap, and the last says where it is.
    `select 'events' as rule, job.id from job left join job_event on job_event.job_id = job.id
     group by job.id, job.seq having count(*) <> job.seq or max(job_event.seq) <> job.seq or min(job_event.seq) <> 1`,
    `select 'last event' as rule, job.id from job join job_event on job_event.job_id = job.id and job_event.seq = job.seq
     where job_event.state <> job.state`,
    // Each attempt was charged, once.
    `select 'charge' as rule, job.id from job left join charge on charge.job_id = job.id
     group by job.id, job.attempts having count(charge.attempt) <> job.attempts`,
    "select 'output' as rule, id from job where (state = 'succeeded') <> exists (select 1 from job_output where job_id = id)",
    "select 'input' as rule, id from job where not exists (select 1 from job_input where job_id = id)",
    "select 'owner' as rule, id from job where (state = 'running') <> (owner_life is not null)",
    // What is free and what is reserved is what there is.
    `select 'device' as rule, device.host, device.device from device
     left join reservation on reservation.host = device.host and reservation.device = device.device
     group by device.host, device.device, memory_bytes_of, device.free_memory_bytes
     having coalesce(sum(reservation.memory_bytes), 0) <> memory_bytes_of - device.free_memory_bytes`,
  ];
  const found = await Promise.all(
    broken.map((query) => rows(query.replaceAll("memory_bytes_of", "device.memory_bytes"))),
  );
  return found.flat();
}
