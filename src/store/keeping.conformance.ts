import { expect, test } from "vitest";
import {
  claimNew,
  host,
  idsOf,
  LONG_MS,
  newJob,
  newJobs,
  nextLife,
  otherHost,
  type StoreUnderTest,
  useStore,
} from "./store.fixture.ts";
import type { NewJob, Store } from "./store.ts";

const keepAll = { maxAgeMs: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export function keepingConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  const useEmptyStore = async () => await useStore((await useEmpty()).place);

  test("jobs of an earlier life of this host wait again at once, and those of other hosts run on", async () => {
    const store = await useEmptyStore();
    const lost = await claimNew(store);
    const [kept] = await store.submit([newJob()], 10);
    await store.claim(otherHost, "ocr", 1, LONG_MS);
    const swept = await store.sweep(nextLife);
    expect(swept).toEqual([await store.get(lost.job.id)]);
    expect(swept[0]).toMatchObject({ state: "queued", attempts: 1, failure: { code: "JOB_ATTEMPT_LOST" } });
    expect((await store.events(lost.job.id, 2))[0]).toMatchObject({ type: "lost", state: "queued", attempt: 1 });
    expect(await store.get(kept!.id)).toMatchObject({ state: "running" });
    expect(await store.sweep(nextLife)).toEqual([]);
  });

  test("artifacts that no job names are unused", async () => {
    const store = await useEmptyStore();
    const [used, unused] = ["a".repeat(64), "b".repeat(64)];
    await store.submit([newJob({ artifacts: [used!] })], 10);
    expect(await store.unused([used!, unused!])).toEqual([unused]);
    expect(await store.unused([])).toEqual([]);
  });

  test("a lease that ran out ends an attempt, whoever had it", async () => {
    const store = await useEmptyStore();
    const { job } = await claimNew(store, {}, 1);
    await expect.poll(() => store.sweep(host)).toMatchObject([{ id: job.id, state: "queued" }]);
    expect(await store.claim(otherHost, "ocr", 1, LONG_MS)).toMatchObject([{ job: { id: job.id, attempts: 2 } }]);
  });

  test("a lease that was renewed lasts", async () => {
    const store = await useEmptyStore();
    const { job, fence } = await claimNew(store, {}, 1);
    await store.renew([{ jobId: job.id, fence, progressPermille: 0, stage: 0 }], LONG_MS);
    const other = await claimNew(store, {}, 1);
    await expect.poll(async () => idsOf(await store.sweep(host))).toEqual([other.job.id]);
    expect(await store.get(job.id)).toMatchObject({ state: "running" });
  });

  test("a job that is lost in its last attempt fails, and says what happened", async () => {
    const store = await useEmptyStore();
    const { job, fence } = await claimNew(store, { maxAttempts: 1 });
    await store.place(job.id, fence, "gpu:3");
    expect(await store.sweep(nextLife)).toMatchObject([
      {
        id: job.id,
        state: "failed",
        failure: { code: "JOB_ATTEMPTS_EXHAUSTED", message: expect.stringContaining("gpu:3") },
      },
    ]);
  });

  test("waiting jobs fail when their deadline has passed, hundreds of them too", async () => {
    const store = await useEmptyStore();
    const overdue = newJobs(600, { deadlineMs: 1000 });
    const [inTime] = await store.submit([newJob({ deadlineMs: Date.now() + LONG_MS }), ...overdue], 1000);
    const swept = await store.sweep(host);
    expect(idsOf(swept).toSorted()).toEqual(idsOf(overdue));
    expect(new Set(swept.map(({ state, failure }) => `${state} ${failure?.code}`))).toEqual(
      new Set(["failed DEADLINE_EXCEEDED"]),
    );
    expect(await store.get(inTime!.id)).toMatchObject({ state: "queued" });
    expect(await store.load()).toEqual([{ service: "ocr", queued: 1, running: 0 }]);
  });

  test("the queued jobs of a service that is gone fail, and no others", async () => {
    const store = await useEmptyStore();
    const running = await claimNew(store);
    const waiting = newJobs(300);
    await store.submit([...waiting, newJob({ service: "asr" })], 1000);
    const failed = await store.failQueued("ocr", { code: "SERVICE_NOT_FOUND", message: "gone" });
    expect(idsOf(failed).toSorted()).toEqual(idsOf(waiting));
    expect(failed[0]).toMatchObject({ state: "failed", failure: { code: "SERVICE_NOT_FOUND" } });
    expect(await store.get(running.job.id)).toMatchObject({ state: "running" });
    expect(await store.load()).toEqual([
      { service: "asr", queued: 1, running: 0 },
      { service: "ocr", queued: 0, running: 1 },
    ]);
  });

  test("jobs that ended too long ago are forgotten with all that belongs to them, but not their runs", async () => {
    const store = await useEmptyStore();
    const waiting = newJob();
    const ended = await endNew(store, 300, { idempotencyKey: null });
    await store.submit([waiting], 10);
    const { job: running } = await claimNew(store, { service: "asr" });
    expect(await store.prune(keepAll)).toEqual([]);
    await expect
      .poll(async () => {
        await store.prune({ ...keepAll, maxAgeMs: 0 });
        return await store.get(ended.at(-1)!);
      })
      .toBeUndefined();
    expect(idsOf((await store.list({}, 10, null)).jobs)).toEqual([running.id, waiting.id]);
    for (const id of ended.slice(0, 3)) {
      expect([await store.get(id), await store.inputs(id), await store.outputs(id)]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(await store.events(id, 0)).toEqual([]);
    }
    expect(await store.charges()).toContainEqual({ service: "ocr", runs: 300 });
  });

  test("beyond so many bytes the jobs that ended first are forgotten", async () => {
    const store = await useEmptyStore();
    const ended: string[] = [];
    for (let n = 0; n < 5; n++) ended.push(...(await endNew(store, 1, { inputs: { inline: new Uint8Array(60) } }, 40)));
    await store.prune({ ...keepAll, maxBytes: 500 });
    expect(await store.get(ended[0]!)).toBeDefined();
    await store.prune({ ...keepAll, maxBytes: 299 });
    expect(idsOf((await store.list({}, 10, null)).jobs)).toEqual([ended[4], ended[3]]);
  });

  test("an artifact is named when the last job that needs it is forgotten", async () => {
    const store = await useEmptyStore();
    const [first, both, input, output] = ["1", "2", "3", "4"].map((digit) => digit.repeat(64)) as [
      string,
      string,
      string,
      string,
    ];
    await endNew(store, 1, { artifacts: [first, both, first] });
    const large = { sha256: input, bytes: 1 };
    const { job, fence } = await claimNew(store, { artifacts: [both, input], inputs: large });
    expect(await store.prune({ ...keepAll, maxBytes: 0 })).toEqual([first]);
    await store.complete({ jobId: job.id, fence, runMs: 1, outputs: { sha256: output, bytes: 9 } });
    expect(await store.outputs(job.id)).toEqual({ sha256: output, bytes: 9 });
    expect((await store.prune({ ...keepAll, maxBytes: 0 })).toSorted()).toEqual([both, input, output]);
  });

  test("a key can be used again when its job is forgotten", async () => {
    const store = await useEmptyStore();
    const [id] = await endNew(store, 1, { idempotencyKey: "k" });
    await store.prune({ ...keepAll, maxBytes: 0 });
    const [job] = await store.submit([newJob({ idempotencyKey: "k", requestDigest: "d2" })], 10);
    expect(job!.id).not.toBe(id);
  });
}

/** Jobs that succeeded, one after the other. */
async function endNew(
  store: Store,
  count: number,
  changes: Partial<NewJob>,
  outputBytes = 1,
): Promise<readonly string[]> {
  const jobs = newJobs(count, changes);
  await store.submit(jobs, 1000);
  for (const { job, fence } of await store.claim(host, "ocr", count, LONG_MS)) {
    await store.complete({ jobId: job.id, fence, runMs: 1, outputs: { inline: new Uint8Array(outputBytes) } });
  }
  return idsOf(jobs);
}
