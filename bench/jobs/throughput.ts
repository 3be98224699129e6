import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { JobClient, type JobStatus } from "../../test/helpers/job-client.ts";
import { descendantsOf } from "../../test/helpers/processes.ts";
import { cpuTimeUs, createBenchHost, root, startProcess } from "../host.ts";

/**
 * `node bench/jobs/throughput.ts [--jobs N] [--waiting N] [--database postgresql://...]`: what a job costs from DoJobs to
 * its end, what 100,000 that wait change of it, and whether a caller with few has to wait behind one with many. Beside
 * SQLite it measures the PostgreSQL that --database names, in a schema that should be empty.
 */

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "5000" },
    waiting: { type: "string", default: "100000" },
    database: { type: "string" },
  },
});
const jobs = Number(values.jobs);
const waiting = Number(values.waiting);
const BATCH = 100;

const jobOf = (labels: Record<string, string> = {}) => ({
  labels,
  request: {
    model_name: "identity",
    inputs: [{ name: "input", datatype: "UINT8", shape: [64] }],
    raw_input_contents: [Buffer.alloc(64, 7)],
  },
});

async function measure(name: string, database: string | null): Promise<void> {
  console.log(`\n${name}`);
  const library = `${root}/build/native/libsignet_identity.so`;
  const service = { name: "identity", library, limits: { concurrency: 2 } };
  const host = createBenchHost([service], {
    ...{ listen: "127.0.0.1:0", jobs: { maxQueued: 1_000_000, ...(database === null ? {} : { database }) } },
  });
  const signet = (...args: string[]) => {
    const env = { ...process.env, SIGNET_DATA: host.data };
    return JSON.parse(spawnSync(`${root}/bin/signet`, [...args, "--json"], { env, encoding: "utf8" }).stdout);
  };
  const other = signet("access", "add", "--name", "other", "--role", "client").token as string;
  const server = await startProcess(`${root}/bin/signet`, ["serve", "--data", host.data, "--log-format", "json"]);
  const client = new JobClient(server.address, host.token);
  const second = new JobClient(server.address, other);
  const cpu = () => [server.pid, ...descendantsOf(server.pid)].reduce((sum, pid) => sum + cpuTimeUs(pid), 0);
  try {
    await submit(client, 500); // warm
    await ended(client);
    await throughput(client, cpu);
    await fairness(client, second);
    await queue(client, server.pid);
  } finally {
    client.close();
    second.close();
    await server.stop();
    host.remove();
  }
}

async function throughput(client: JobClient, cpu: () => number): Promise<void> {
  const cpuBefore = cpu();
  const startedMs = performance.now();
  await submit(client, jobs);
  const acceptedMs = performance.now() - startedMs;
  await ended(client);
  const endedMs = performance.now() - startedMs;
  row("accepted, in calls of 100", `${rate(jobs, acceptedMs)} jobs/s`);
  row("accepted and ended", `${rate(jobs, endedMs)} jobs/s`);
  row("CPU of all processes of the server", `${Math.round((cpu() - cpuBefore) / jobs)} us a job`);
}

/** One caller has many jobs, another comes later with few: how many of the first's end before the other's have. */
async function fairness(many: JobClient, few: JobClient): Promise<void> {
  await submit(many, 2000, { fair: "many" });
  await submit(few, 20, { fair: "few" });
  await ended(few);
  await ended(many);
  const all = await listAll(many, { fair: "many" });
  const those = await listAll(few, { fair: "few" });
  const began = Math.min(...those.map(({ submitted_ms }) => submitted_ms));
  const done = Math.max(...those.map(({ ended_ms }) => ended_ms));
  const between = all.filter(({ ended_ms }) => ended_ms >= began && ended_ms <= done).length;
  row("20 jobs of one caller beside 2000 of another", `${between} of those ended meanwhile (20 would be even)`);
}

async function queue(client: JobClient, pid: number): Promise<void> {
  // Nothing of a lower priority ends while more urgent jobs wait, so the queue is measured while it is being worked on.
  const memoryBefore = rssMiB(pid);
  const latencies: number[] = [];
  for (let done = 0; done < waiting; done += 1000) {
    const startedMs = performance.now();
    await client.submit(...Array.from({ length: 1000 }, () => jobOf({ queue: "long" })));
    latencies.push(performance.now() - startedMs);
  }
  row(
    `submitting ${waiting}, 1000 a call`,
    `first ${ms(latencies[0]!)}, median ${ms(median(latencies))}, last ${ms(latencies.at(-1)!)}`,
  );
  const single: number[] = [];
  for (let call = 0; call < 100; call++) {
    const startedMs = performance.now();
    await client.submit(jobOf({ queue: "long" }));
    single.push(performance.now() - startedMs);
  }
  row("submitting one more", `median ${ms(median(single))}, worst ${ms(Math.max(...single))}`);
  row("memory of the gateway", `${memoryBefore} MiB before, ${rssMiB(pid)} MiB now`);
  const pages: number[] = [];
  let token = "";
  for (let page = 0; page < 100; page++) {
    const startedMs = performance.now();
    const answer = await client.call<{ next_page_token: string }>("ListJobs", { page_size: 100, page_token: token });
    pages.push(performance.now() - startedMs);
    token = answer.next_page_token;
    if (token === "") break;
  }
  row(
    "a page of 100 of ListJobs",
    `first ${ms(pages[0]!)}, median ${ms(median(pages))}, page ${pages.length} ${ms(pages.at(-1)!)}`,
  );
}

async function submit(client: JobClient, count: number, labels: Record<string, string> = {}): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    await client.submit(...Array.from({ length: Math.min(BATCH, count - done) }, () => jobOf(labels)));
  }
}

async function ended(client: JobClient): Promise<void> {
  const states = ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING"];
  for (;;) {
    const { jobs: open } = await client.call<{ jobs?: unknown[] }>("ListJobs", { states, page_size: 1, own: true });
    if ((open ?? []).length === 0) return;
    await sleep(20);
  }
}

interface Times extends JobStatus {
  readonly submitted_ms: number;
  readonly ended_ms: number;
}

async function listAll(client: JobClient, labels: Record<string, string>): Promise<Times[]> {
  const all: Times[] = [];
  let token = "";
  do {
    const page = await client.call<{ jobs: Times[]; next_page_token: string }>("ListJobs", {
      ...{ labels, page_size: 1000, page_token: token, own: true },
    });
    all.push(...page.jobs);
    token = page.next_page_token;
  } while (token !== "");
  return all;
}

function rssMiB(pid: number): number {
  const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, "utf8") : "";
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
}

const ms = (number: number) => `${number.toFixed(1)} ms`;
const rate = (count: number, inMs: number) => Math.round((count * 1000) / inMs);
const row = (what: string, words: string) => console.log(`  ${what.padEnd(46)} ${words}`);

await measure("SQLite", null);
if (values.database !== undefined) await measure("PostgreSQL", values.database);
