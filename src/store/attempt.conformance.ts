import { expect, test } from "vitest";
import {
  claimNew,
  host,
  LONG_MS,
  newJob,
  nextLife,
  otherHost,
  type StoreUnderTest,
  useStore,
} from "./store.fixture.ts";
import type { JobClaim, Store } from "./store.ts";

const failure = { code: "SERVICE_CRASHED", message: "the process ended" };
const outputs = { inline: new Uint8Array([1, 2, 3]) };

/** Every verb that only the owner of a claim may say, and what others hear. */
const ownersVerbs: readonly [string, (store: Store, jobId: string, fence: number) => Promise<unknown>, unknown][] = [
  ["place", (store, jobId, fence) => store.place(jobId, fence, "gpu:9"), false],
  [
    "renew",
    (store, jobId, fence) => store.renew([{ jobId, fence, progressPermille: 999, stage: 9 }], LONG_MS),
    ["lost"],
  ],
  ["complete", (store, jobId, fence) => store.complete({ jobId, fence, runMs: 1, outputs }), false],
  ["fail for good", (store, jobId, fence) => store.fail(jobId, fence, failure, false), false],
  ["fail", (store, jobId, fence) => store.fail(jobId, fence, failure, true), false],
  ["confirmCancelled", (store, jobId, fence) => store.confirmCancelled(jobId, fence), false],
  ["giveBack", (store, jobId, fence) => store.giveBack(jobId, fence), false],
];

export function attemptConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  const useEmptyStore = async () => await useStore((await useEmpty()).place);

  test("a job that succeeded has its outputs, its time and no failure of earlier attempts", async () => {
    const store = await useEmptyStore();
    const first = await claimNew(store);
    await store.fail(first.job.id, first.fence, failure, true);
    const [second] = await store.claim(host, "ocr", 1, LONG_MS);
    expect(second!.job.failure).toEqual(failure);
    expect(await store.place(second!.job.id, second!.fence, "gpu:1")).toBe(true);
    expect(await store.complete({ jobId: second!.job.id, fence: second!.fence, runMs: 12.25, outputs })).toBe(true);
    expect(await store.get(first.job.id)).toMatchObject({
      ...{ state: "succeeded", attempts: 2, runMs: 12.25, failure: null, device: "gpu:1", seq: 5 },
      endedMs: expect.any(Number),
    });
    expect(await store.outputs(first.job.id)).toEqual(outputs);
    expect(await eventsOf(store, first)).toEqual(["submitted", "claimed", "retried", "claimed", "succeeded"]);
  });

  test.each(ownersVerbs)("%s does nothing with the fence of an earlier claim", async (_, say, answer) => {
    const store = await useEmptyStore();
    const first = await claimNew(store);
    await store.sweep(nextLife);
    await store.claim(nextLife, "ocr", 1, LONG_MS);
    const before = await store.get(first.job.id);
    expect(await say(store, first.job.id, first.fence)).toEqual(answer);
    expect(await store.get(first.job.id)).toEqual(before);
  });

  test.each(ownersVerbs)(
    "%s does nothing with a job that ended, that waits, or that is not there",
    async (_, say, answer) => {
      const store = await useEmptyStore();
      const ended = await claimNew(store);
      await store.complete({ jobId: ended.job.id, fence: ended.fence, runMs: 1, outputs });
      const waits = await claimNew(store);
      await store.giveBack(waits.job.id, waits.fence);
      const before = await Promise.all([ended, waits].map(({ job }) => store.get(job.id)));
      for (const { job, fence } of [ended, waits]) expect(await say(store, job.id, fence)).toEqual(answer);
      expect(await say(store, newJob().id, 1)).toEqual(answer);
      expect(await Promise.all([ended, waits].map(({ job }) => store.get(job.id)))).toEqual(before);
    },
  );

  test("renewing keeps the job, and progress never falls", async () => {
    const store = await useEmptyStore();
    const { job, fence } = await claimNew(store);
    const renew = (progressPermille: number, stage: number) =>
      store.renew([{ jobId: job.id, fence, progressPermille, stage }], LONG_MS);
    expect(await renew(500, 2)).toEqual(["ok"]);
    expect(await renew(300, 1)).toEqual(["ok"]);
    expect(await store.get(job.id)).toMatchObject({ progressPermille: 500, stage: 1, seq: 2 });
    await store.fail(job.id, fence, failure, true);
    await store.claim(host, "ocr", 1, LONG_MS);
    expect(await store.get(job.id)).toMatchObject({ progressPermille: 0, stage: 0 });
  });

  test("each renewal gets its own verdict", async () => {
    const store = await useEmptyStore();
    const [kept, cancelled, lost] = [await claimNew(store), await claimNew(store), await claimNew(store)];
    await store.cancel(cancelled.job.id);
    await store.fail(lost.job.id, lost.fence, failure, false);
    const renewals = [lost, kept, cancelled].map(({ job, fence }) => ({
      jobId: job.id,
      fence,
      progressPermille: 1,
      stage: 1,
    }));
    expect(await store.renew(renewals, LONG_MS)).toEqual(["lost", "ok", "cancel"]);
    expect(await store.renew([], LONG_MS)).toEqual([]);
  });

  test("a job fails for good where it must not be tried again", async () => {
    const store = await useEmptyStore();
    const { job, fence } = await claimNew(store);
    expect(await store.fail(job.id, fence, failure, false)).toBe(true);
    expect(await store.get(job.id)).toMatchObject({
      state: "failed",
      failure,
      attempts: 1,
      endedMs: expect.any(Number),
    });
    expect((await store.events(job.id, 0)).at(-1)).toMatchObject({
      type: "failed",
      state: "failed",
      attempt: 1,
      failure,
    });
  });

  test("a job is tried as often as it may be", async () => {
    const store = await useEmptyStore();
    await store.submit([newJob({ maxAttempts: 2 })], 10);
    for (const state of ["queued", "failed"]) {
      const [claim] = await store.claim(host, "ocr", 1, LONG_MS);
      await store.fail(claim!.job.id, claim!.fence, failure, true);
      expect(await store.get(claim!.job.id)).toMatchObject({ state, failure });
    }
    expect(await store.claim(host, "ocr", 1, LONG_MS)).toEqual([]);
  });

  test("a waiting job is cancelled at once", async () => {
    const store = await useEmptyStore();
    const [job] = await store.submit([newJob()], 10);
    expect(await store.cancel(job!.id)).toMatchObject({ state: "cancelled", seq: 2, endedMs: expect.any(Number) });
    expect(await store.claim(host, "ocr", 1, LONG_MS)).toEqual([]);
    expect(await store.load()).toEqual([]);
  });

  test("a running job that is cancelled runs until its owner says that it ended", async () => {
    const store = await useEmptyStore();
    const claim = await claimNew(store);
    const marked = await store.cancel(claim.job.id);
    expect(marked).toMatchObject({ state: "running", isCancelRequested: true });
    expect(await store.cancel(claim.job.id)).toEqual(marked);
    expect(await store.confirmCancelled(claim.job.id, claim.fence)).toBe(true);
    expect(await store.get(claim.job.id)).toMatchObject({ state: "cancelled" });
    expect(await eventsOf(store, claim)).toEqual(["submitted", "claimed", "cancel-requested", "cancelled"]);
  });

  test("a job that was faster than its cancellation succeeded", async () => {
    const store = await useEmptyStore();
    const { job, fence } = await claimNew(store);
    await store.cancel(job.id);
    expect(await store.complete({ jobId: job.id, fence, runMs: 1, outputs })).toBe(true);
    expect(await store.cancel(job.id)).toMatchObject({ state: "succeeded" });
  });

  test.each([
    ["failed", (store: Store, { job, fence }: JobClaim) => store.fail(job.id, fence, failure, true)],
    ["was given back", (store: Store, { job, fence }: JobClaim) => store.giveBack(job.id, fence)],
    ["was lost", (store: Store) => store.sweep(nextLife)],
  ])("a job that was to be cancelled and %s does not wait again", async (_, say) => {
    const store = await useEmptyStore();
    const claim = await claimNew(store);
    await store.cancel(claim.job.id);
    await say(store, claim);
    expect(await store.get(claim.job.id)).toMatchObject({ state: "cancelled" });
    expect(await store.claim(otherHost, "ocr", 1, LONG_MS)).toEqual([]);
  });

  test("what never was cannot be cancelled", async () => {
    expect(await (await useEmptyStore()).cancel(newJob().id)).toBeUndefined();
  });
}

async function eventsOf(store: Store, { job }: JobClaim): Promise<readonly string[]> {
  const events = await store.events(job.id, 0);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect((await store.get(job.id))!.seq).toBe(events.length);
  return events.map(({ type }) => type);
}
