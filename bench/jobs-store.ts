import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client } from "pg";
import { type JobClaim, type NewJob, openStore, type Store, type StorePlace } from "../src/store/index.ts";
import { cpuTimeUs } from "./host.ts";
import { median } from "./measure.ts";

/**
 * What the store of jobs does by itself, in SQLite and in PostgreSQL: jobs submitted, claimed and completed in a second
 * and the processor time of one, and how long its verbs take while 100,000 jobs wait.
 *
 *   node bench/jobs-store.ts [--postgres postgresql://USER@HOST/DATABASE] [--waiting 100000] [--seconds 3]
 *
 * The database's schema `signet` is dropped before and after. The server must run on this machine: processor time is
 * that of this process, the store's thread among it, and of the server's processes for its connections.
 */

const { values: flags } = parseArgs({
  options: {
    postgres: { type: "string" },
    waiting: { type: "string", default: "100000" },
    seconds: { type: "string", default: "3" },
  },
});
const SECONDS = Number(flags.seconds);
const WAITING = Number(flags.waiting);
const IDENTITIES = 20;
const owner = { host: "bench", life: "1" };
const outputs = { inline: randomBytes(1024) };

let made = 0;

/** By the kind of store. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly values: Map<string, number>;
}

const figures: Figure[] = [];

function record(kind: string, name: string, unit: string, value: number): void {
  let figure = figures.find((one) => one.name === name);
  if (figure === undefined) {
    figure = { name, unit, values: new Map() };
    figures.push(figure);
  }
  figure.values.set(kind, value);
}

const directory = mkdtempSync(join(tmpdir(), "signet-bench-store-"));
try {
  await measure("SQLite", { kind: "sqlite", file: join(directory, "store.sqlite") }, async () => ownCpuMs());
  if (flags.postgres !== undefined) await measurePostgres(flags.postgres);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
print();

async function measurePostgres(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const drop = () => client.query("drop schema if exists signet cascade");
  const serverCpuMs = async () => {
    const { rows } = await client.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = 'signet' and datname = current_database()",
    );
    return rows.map(({ pid }) => cpuTimeUs(pid) / 1000).reduce((sum, ms) => sum + ms, 0);
  };
  await drop();
  await measure("PostgreSQL", { kind: "postgres", url }, async () => ownCpuMs() + (await serverCpuMs()));
  await drop();
  await client.end();
}

async function measure(kind: string, place: StorePlace, cpuMs: () => Promise<number>): Promise<void> {
  const store = await openStore(place);
  try {
    for (const [name, act] of rounds(store)) {
      const { perSecond, cpuPerJob } = await repeat(act, cpuMs);
      record(kind, name, "jobs/s", perSecond);
      record(kind, `${name}: processor time`, "ms/job", cpuPerJob);
    }
    const before = process.memoryUsage().rss;
    await fill(store);
    await measureFull(kind, store);
    record(kind, "memory of this process, grown", "MiB", (process.memoryUsage().rss - before) / 2 ** 20);
  } finally {
    await store.close();
  }
}

/** Each runs some jobs, and says how many. */
function rounds(store: Store): readonly (readonly [string, () => Promise<number>])[] {
  const submitOne = async (service: string) => {
    await store.submit([newJob(service)], 1e9);
    return 1;
  };
  const through = async (service: string, together: number) => {
    await store.submit(
      Array.from({ length: together }, () => newJob(service)),
      1e9,
    );
    const claims = await store.claim(owner, service, together, 60_000);
    await Promise.all(claims.map((claim) => complete(store, claim)));
    return claims.length;
  };
  const atOnce = (count: number, act: (index: number) => Promise<number>) => async () =>
    (await Promise.all(Array.from({ length: count }, (_, index) => act(index)))).reduce((sum, n) => sum + n, 0);
  return [
    ["submit, one at a time", () => submitOne("a")],
    ["submit, 16 callers", atOnce(16, () => submitOne("b"))],
    [
      "submit, 100 in a call",
      async () =>
        (
          await store.submit(
            Array.from({ length: 100 }, () => newJob("c")),
            1e9,
          )
        ).length,
    ],
    ["submit, claim, complete, one at a time", () => through("d", 1)],
    ["submit, claim, complete, 16 services at once", atOnce(16, (index) => through(`e${index}`, 1))],
    ["submit, claim, complete, by 16", () => through("f", 16)],
  ];
}

async function repeat(act: () => Promise<number>, cpuMs: () => Promise<number>) {
  const until = performance.now() + SECONDS * 200;
  while (performance.now() < until) await act();
  const [start, cpuStart] = [performance.now(), await cpuMs()];
  let jobs = 0;
  while (performance.now() - start < SECONDS * 1000) jobs += await act();
  return { perSecond: jobs / ((performance.now() - start) / 1000), cpuPerJob: ((await cpuMs()) - cpuStart) / jobs };
}

async function fill(store: Store): Promise<void> {
  for (let jobs = 0; jobs < WAITING; jobs += 500) {
    await store.submit(
      Array.from({ length: 500 }, () => newJob("full")),
      1e9,
    );
  }
}

async function measureFull(kind: string, store: Store): Promise<void> {
  const latency = async (name: string, act: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let n = 0; n < 200; n++) {
      const start = performance.now();
      await act();
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    record(kind, `${WAITING} waiting: ${name}, median`, "ms", median(times));
    record(kind, `${WAITING} waiting: ${name}, 99 %`, "ms", times[Math.floor(times.length * 0.99)]!);
  };
  await latency("submit", () => store.submit([newJob("full")], 1e9));
  await latency("claim and complete", async () => {
    for (const claim of await store.claim(owner, "full", 1, 60_000)) await complete(store, claim);
  });
  let after: string | null = null;
  await latency("a page of 100", async () => {
    ({ next: after } = await store.list({}, 100, after));
  });
  const identity = { identity: "identity-3", states: ["queued"] as const };
  await latency("a page of 100 of an identity", () => store.list(identity, 100, null));
  const [last] = (await store.list({ service: "full", states: ["queued"] }, 1, null)).jobs;
  await latency("what stands before the last", () => store.ahead(last!.id, 1000));
  await latency("load", () => store.load());
  await latency("sweep", () => store.sweep(owner));
}

async function complete(store: Store, { job, fence }: JobClaim): Promise<void> {
  await store.complete({ jobId: job.id, fence, runMs: 1, outputs });
}

function newJob(service: string): NewJob {
  const time = (Date.now() + made++).toString(16).padStart(12, "0");
  const random = randomBytes(9).toString("hex");
  return {
    id: `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6)}`,
    identity: `identity-${made % IDENTITIES}`,
    client: "bench",
    peer: "127.0.0.1",
    service,
    version: "1",
    priority: 1,
    deadlineMs: null,
    labels: {},
    idempotencyKey: null,
    requestDigest: "0".repeat(64),
    maxAttempts: 3,
    inputs: outputs,
    artifacts: [],
  };
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function print(): void {
  const kinds = [...new Set(figures.flatMap(({ values }) => [...values.keys()]))];
  const width = Math.max(...figures.map(({ name }) => name.length));
  console.log(["".padEnd(width), ...kinds.map((kind) => kind.padStart(12)), "ratio".padStart(8)].join("  "));
  for (const { name, unit, values } of figures) {
    const shown = kinds.map((kind) => (values.get(kind)?.toPrecision(3) ?? "").padStart(12));
    const [first, second] = kinds.map((kind) => values.get(kind));
    const ratio = first !== undefined && second !== undefined ? (first / second).toFixed(2) : "";
    console.log([name.padEnd(width), ...shown, ratio.padStart(8), unit].join("  "));
  }
}
