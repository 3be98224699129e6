import { writeSync } from "node:fs";
import type { JobState } from "./job-state.ts";
import { openStore, type StorePlace } from "./open-store.ts";
import { LONG_MS, newJob } from "./store.fixture.ts";
import type { Store } from "./store.ts";

/** What the program was told by the store, and tells its parent: a job was in this state, or was to be cancelled. */
export interface Acknowledged {
  readonly id: string;
  readonly state: JobState | "cancel requested";
  readonly attempts: number;
}

/** A server that says random verbs to a store, several at a time, until it is killed; each line is one answer. */
export interface KillProgramTask {
  readonly place: StorePlace;
  readonly life: string;
}

const { place, life } = JSON.parse(process.argv[2]!) as KillProgramTask;
const owner = { host: "host-1", life };
const store = await openStore(place);
for (const job of await store.sweep(owner)) acknowledge(job.id, job.state, job.attempts);
await Promise.all(Array.from({ length: 6 }, () => work(store)));

async function work(store: Store): Promise<never> {
  while (true) {
    const jobs = Array.from({ length: 1 + Math.floor(Math.random() * 3) }, () =>
      newJob({ identity: `i${Math.floor(Math.random() * 3)}`, id: crypto.randomUUID().replace(/-4/, "-7") }),
    );
    for (const { id } of await store.submit(jobs, 1e6)) acknowledge(id, "queued", 0);
    if (Math.random() < 0.2) await cancel(store, jobs[0]!.id);
    for (const { job, fence } of await store.claim(owner, "ocr", 2, LONG_MS)) {
      acknowledge(job.id, "running", job.attempts);
      await end(store, job.id, fence, job.attempts);
    }
  }
}

/** One of the ways in which an attempt ends, or none: then the next life finds it running. */
async function end(store: Store, id: string, fence: number, attempts: number): Promise<void> {
  const failure = { code: "SERVICE_CRASHED", message: "m" };
  const outputs = { inline: Buffer.from(id) };
  const way = Math.random();
  if (way < 0.5) {
    if (await store.complete({ jobId: id, fence, runMs: 1, outputs })) acknowledge(id, "succeeded", attempts);
  } else if (way < 0.6) {
    if (await store.fail(id, fence, failure, false)) acknowledge(id, "failed", attempts);
  } else if (way < 0.7) {
    await store.fail(id, fence, failure, true);
  } else if (way < 0.8) {
    await store.giveBack(id, fence);
  } else if (way < 0.9) {
    await cancel(store, id);
    if (await store.confirmCancelled(id, fence)) acknowledge(id, "cancelled", attempts);
  }
}

async function cancel(store: Store, id: string): Promise<void> {
  const job = await store.cancel(id);
  if (job !== undefined) acknowledge(id, job.isCancelRequested ? "cancel requested" : job.state, job.attempts);
}

function acknowledge(id: string, state: Acknowledged["state"], attempts: number): void {
  const line: Acknowledged = { id, state, attempts };
  writeSync(1, `${JSON.stringify(line)}\n`);
}
