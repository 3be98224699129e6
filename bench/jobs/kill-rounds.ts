import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { dataDirectory } from "../../src/config/index.ts";
import { openHostKey } from "../../src/license/index.ts";
import { readHostLedger } from "../../src/service/index.ts";
import { isFinal, type JobEvent, openStore, type StoredJob } from "../../src/store/index.ts";
import { JobClient, type JobStatus } from "../../test/helpers/job-client.ts";
import { faultyRequest } from "../../test/helpers/runner.ts";
import { Random } from "../../test/helpers/seeded-random.ts";
import { SoakDesk } from "../soak/desk.ts";
import { ServerLife } from "../soak/server-life.ts";

export interface KillRoundsOptions {
  /** Kept by the caller; everything is written below it. */
  readonly directory: string;
  readonly rounds: number;
  /** Jobs that are submitted in each round. */
  readonly jobs: number;
  readonly seed: number;
  /** A line for whoever waits. */
  say(words: string): void;
}

export interface RoundReport {
  readonly round: number;
  readonly accepted: number;
  readonly cancelled: number;
  /** From the start of the next server until the last of the round's jobs that was under way was taken up again, ms. */
  readonly recoveryMs: number;
}

export interface KillReport {
  readonly rounds: readonly RoundReport[];
  /** How the jobs ended, by state and, of those that failed, code. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** What must be empty. */
  readonly breaches: readonly string[];
  /** Runs by the store, the ledger, and what the ledger charged besides for leases that were cut off. */
  readonly runs: Readonly<
    Record<string, { readonly store: number; readonly ledger: number; readonly forfeited: number }>
  >;
}

const services = ["identity", "metered", "faulty"] as const;
/** Jobs that may be claimed and not yet debited when a server is killed: as many as run at a time. */
const CONCURRENCY = { identity: 2, metered: 1, faulty: 2 } as const;
const BATCH = 50;
const END_MS = 300_000;

type Accepted = Map<string, { readonly round: number; cancelled: boolean }>;

/**
 * Submits jobs, cancels some of those that run, and kills the server in the middle, again and again; then lets all of
 * them end, and compares what was accepted with what the store says became of it, and both with the ledger.
 */
export async function runKillRounds(options: KillRoundsOptions): Promise<KillReport> {
  const { directory, rounds, jobs, seed, say } = options;
  mkdirSync(directory, { recursive: true });
  const random = new Random(seed);
  const desk = new SoakDesk(join(directory, "desk"));
  desk.terms = { ...desk.terms, meteredRuns: 100_000 };
  await desk.setUp();
  desk.configure("none");
  const accepted: Accepted = new Map();
  const logFile = join(directory, "server.log");
  const reports: RoundReport[] = [];

  async function start() {
    const server = new ServerLife(desk.data.root, logFile);
    const serving = await server.logged(({ msg }) => msg === "serving");
    if (serving === null) throw new Error(`the server did not start: ${server.lastLine}`);
    return { server, client: new JobClient(String(serving.address), desk.tokens.patient!) };
  }

  let recovering: readonly string[] = [];
  for (let round = 1; round <= rounds; round++) {
    const startedMs = performance.now();
    const { server, client } = await start();
    const recoveryMs = await recoveryOf(client, recovering, startedMs);
    const submitting = submitAll(client, jobs, round, random, accepted);
    const cancelled = await cancelSome(client, random, accepted, random.between(300, 1500));
    recovering = (await runningOf(client)).map(({ job_id }) => job_id);
    server.kill("SIGKILL");
    await server.ended;
    await submitting;
    client.close();
    const count = [...accepted.values()].filter((each) => each.round === round).length;
    reports.push({ round, accepted: count, cancelled, recoveryMs });
    say(`round ${round}: ${count} accepted, ${cancelled} cancelled, taken up after ${Math.round(recoveryMs)} ms`);
  }

  const { server, client } = await start();
  await allEnded(client, say);
  server.kill("SIGTERM");
  await server.ended;
  client.close();
  return await closeBooks(desk, accepted, readForfeits(logFile), reports);
}

/** What starts charged for leases that the server before them was killed with. */
function readForfeits(logFile: string): Record<string, number> {
  const forfeited: Record<string, number> = { identity: 0, metered: 0, faulty: 0 };
  for (const [, service, runs] of readFileSync(logFile, "utf8").matchAll(/"notice":"(\w+): charged (\d+) runs? /g)) {
    forfeited[service!] = (forfeited[service!] ?? 0) + Number(runs);
  }
  return forfeited;
}

async function submitAll(
  client: JobClient,
  jobs: number,
  round: number,
  random: Random,
  accepted: Accepted,
): Promise<void> {
  for (let done = 0; done < jobs; done += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, jobs - done) }, () => drawJob(random));
    try {
      for (const { job_id } of await client.submit(...batch)) accepted.set(job_id, { round, cancelled: false });
    } catch {
      return; // the server was killed: what it did not acknowledge is not accepted
    }
  }
}

function drawJob(random: Random): Record<string, unknown> {
  if (random.chance(0.6)) {
    const bytes = Buffer.alloc(random.chance(0.05) ? 100_000 : 64, random.below(256));
    return {
      request: {
        model_name: random.chance(0.5) ? "identity" : "metered",
        inputs: [{ name: "input", datatype: "UINT8", shape: [bytes.length] }],
        raw_input_contents: [bytes],
      },
    };
  }
  const [mode, amount] = random.pick([
    ["wait", 30],
    ["wait", 500],
    ["ok", 1],
    ["fail", 1],
  ] as const);
  return { request: faultyRequest(mode, amount) };
}

async function runningOf(client: JobClient): Promise<JobStatus[]> {
  const states = ["JOB_STATE_RUNNING"];
  return (await client.call<{ jobs?: JobStatus[] }>("ListJobs", { states, page_size: 1000 })).jobs ?? [];
}

/** Cancels some of those that run, for so long. */
async function cancelSome(client: JobClient, random: Random, accepted: Accepted, forMs: number): Promise<number> {
  const untilMs = performance.now() + forMs;
  let cancelled = 0;
  while (performance.now() < untilMs) {
    for (const { job_id, model_name } of await runningOf(client)) {
      if (model_name !== "faulty" || !random.chance(0.1)) continue;
      await client.call("CancelJob", { job_id });
      const job = accepted.get(job_id);
      if (job !== undefined) job.cancelled = true;
      cancelled++;
    }
    await sleep(random.between(5, 50));
  }
  return cancelled;
}

/** How long after its start the server has taken up again, or ended, all that was running. */
async function recoveryOf(client: JobClient, jobs: readonly string[], startedMs: number): Promise<number> {
  if (jobs.length === 0) return 0;
  for (const jobId of jobs) {
    for await (const { status } of client.stream<{ status: JobStatus & { attempts: number } }>("WatchJob", {
      ...{ job_id: jobId, after_seq: 0 },
    })) {
      if (status.attempts > 1 || !/QUEUED|RUNNING/.test(status.state)) break;
    }
  }
  return performance.now() - startedMs;
}

async function allEnded(client: JobClient, say: (words: string) => void): Promise<void> {
  const untilMs = performance.now() + END_MS;
  const states = ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING"];
  let said = "";
  while (performance.now() < untilMs) {
    const open = (await client.call<{ jobs?: JobStatus[] }>("ListJobs", { states, page_size: 1000 })).jobs ?? [];
    if (open.length === 0) return;
    const words = `${open.length === 1000 ? "1000 or more" : open.length} jobs have not ended yet`;
    if (words !== said) say(words);
    said = words;
    await sleep(1000);
  }
  throw new Error(`not all jobs ended within ${END_MS} ms`);
}

async function closeBooks(
  desk: SoakDesk,
  accepted: Accepted,
  forfeited: Readonly<Record<string, number>>,
  rounds: readonly RoundReport[],
): Promise<KillReport> {
  const { jobsDir, hostDir } = desk.data;
  const store = await openStore({ kind: "sqlite", file: join(jobsDir, "store.sqlite") });
  const breaches: string[] = [];
  const outcomes: Record<string, number> = {};
  for (const [id, { cancelled }] of accepted) {
    const job = await store.get(id);
    if (job === undefined) {
      breaches.push(`${id} was accepted and is not there`);
      continue;
    }
    const outcome = job.failure !== null && job.state === "failed" ? `failed ${job.failure.code}` : job.state;
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    breaches.push(...findBreaches(job, await store.events(id, 0), cancelled));
  }
  const charged = new Map((await store.charges()).map(({ service, runs }) => [service, runs]));
  await store.close();
  const ledger = readHostLedger(dataDirectory(desk.data.root), await openHostKey(hostDir));
  const runs: Record<string, { store: number; ledger: number; forfeited: number }> = {};
  for (const service of services) {
    const byStore = charged.get(service) ?? 0;
    const byLedger = ledger.totals(desk.licenseId, service).runs;
    const extra = forfeited[service]!;
    runs[service] = { store: byStore, ledger: byLedger, forfeited: extra };
    // Claimed is charged in the store a moment before it is debited; a kill between the two leaves it in doubt.
    const inDoubt = rounds.length * CONCURRENCY[service];
    if (byLedger > byStore + extra)
      breaches.push(`${service}: ${byLedger} runs in the ledger, ${byStore} + ${extra} accounted for`);
    if (byLedger < byStore - inDoubt)
      breaches.push(`${service}: ${byStore} runs in the store, ${byLedger} in the ledger`);
  }
  return { rounds, outcomes, breaches, runs };
}

/** A job ends exactly once, and not in a way that nobody asked for. */
function findBreaches(job: StoredJob, events: readonly JobEvent[], wasCancelled: boolean): string[] {
  const ends = events.filter(({ state }) => isFinal(state));
  const breaches: string[] = [];
  if (!isFinal(job.state)) breaches.push(`${job.id} is ${job.state}`);
  else if (ends.length !== 1) breaches.push(`${job.id} ended ${ends.length} times`);
  if (events.some(({ seq }, index) => seq !== index + 1)) breaches.push(`${job.id} has events out of order`);
  if (job.state === "cancelled" && !wasCancelled) breaches.push(`${job.id} was cancelled by nobody`);
  if (job.state === "failed" && job.failure === null) breaches.push(`${job.id} failed without a reason`);
  if (job.state === "succeeded" && job.service === "identity" && job.attempts < 1) breaches.push(`${job.id} never ran`);
  return breaches;
}
