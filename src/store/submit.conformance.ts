import { expect, test } from "vitest";
import { claimNew, host, idsOf, LONG_MS, newJob, newJobs, type StoreUnderTest, useStore } from "./store.fixture.ts";
import type { JobFilter, Store } from "./store.ts";

export function submitConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  const useEmptyStore = async () => await useStore((await useEmpty()).place);

  test("a job is found again with all that it was submitted with", async () => {
    const store = await useEmptyStore();
    const job = newJob({
      ...{ identity: "ünï'\"\\", client: "…", labels: { project: "p 1", "": "" }, idempotencyKey: "k", priority: -3 },
      ...{ deadlineMs: 1_800_000_000_000, maxAttempts: 7, inputs: { inline: Uint8Array.of(0, 255, 39) } },
    });
    const [accepted] = await store.submit([job], 10);
    const { inputs, artifacts, requestDigest, ...same } = job;
    expect(accepted).toMatchObject({
      ...same,
      ...{ state: "queued", isCancelRequested: false, attempts: 0, device: null, startedMs: null, endedMs: null },
      ...{ progressPermille: 0, stage: 0, failure: null, runMs: null, seq: 1 },
    });
    expect(await store.get(job.id)).toEqual(accepted);
    expect(await store.inputs(job.id)).toEqual(inputs);
    expect(await store.outputs(job.id)).toBeUndefined();
    expect(await store.events(job.id, 0)).toEqual([
      {
        jobId: job.id,
        seq: 1,
        timeMs: accepted!.submittedMs,
        type: "submitted",
        state: "queued",
        attempt: 0,
        failure: null,
      },
    ]);
    expect(await store.get(newJob().id)).toBeUndefined();
  });

  test("large inputs are only named", async () => {
    const store = await useEmptyStore();
    const inputs = { sha256: "ab".repeat(32), bytes: 5e12 };
    const [job] = await store.submit([newJob({ inputs })], 10);
    expect(await store.inputs(job!.id)).toEqual(inputs);
  });

  test("a thousand jobs are accepted at once, in their order", async () => {
    const store = await useEmptyStore();
    const jobs = newJobs(1000);
    expect(idsOf(await store.submit(jobs, 1000))).toEqual(idsOf(jobs));
    expect(await store.load()).toEqual([{ service: "ocr", queued: 1000, running: 0 }]);
  });

  test("the same key of an identity is the same job, also in the same call and later", async () => {
    const store = await useEmptyStore();
    const once = newJob({ idempotencyKey: "k" });
    const [first, second] = await store.submit([once, newJob({ idempotencyKey: "k" })], 10);
    expect(second).toEqual(first);
    await store.cancel(once.id);
    const [later, others] = await store.submit(
      [newJob({ idempotencyKey: "k" }), newJob({ idempotencyKey: "k", identity: "bob" })],
      10,
    );
    expect(later).toMatchObject({ id: once.id, state: "cancelled" });
    expect(others!.id).not.toBe(once.id);
  });

  test("calls with the same key at the same time make one job", async () => {
    const { place } = await useEmpty();
    const stores = await Promise.all([useStore(place), useStore(place)]);
    const calls = Array.from({ length: 20 }, (_, n) => stores[n % 2]!.submit([newJob({ idempotencyKey: "k" })], 10));
    const ids = (await Promise.all(calls)).map(([job]) => job!.id);
    expect(new Set(ids).size).toBe(1);
  });

  test("a key that was used for another request makes the whole call fail", async () => {
    const store = await useEmptyStore();
    await store.submit([newJob({ idempotencyKey: "k" })], 10);
    const jobs = [newJob(), newJob({ idempotencyKey: "k", requestDigest: "d2" })];
    await expect(store.submit(jobs, 10)).rejects.toMatchObject({ code: "JOB_KEY_REUSED" });
    expect(await store.get(jobs[0]!.id)).toBeUndefined();
    expect(await store.load()).toEqual([{ service: "ocr", queued: 1, running: 0 }]);
  });

  test("an identity has no more waiting than it may, in all services together", async () => {
    const store = await useEmptyStore();
    await store.submit([...newJobs(2), newJob({ service: "asr" })], 4);
    const tooMany = newJobs(2);
    await expect(store.submit(tooMany, 4)).rejects.toMatchObject({ code: "JOB_QUEUE_FULL" });
    expect(await store.get(tooMany[0]!.id)).toBeUndefined();
    await store.submit(newJobs(4, { identity: "bob" }), 4);
    await store.claim(host, "asr", 1, LONG_MS);
    expect(await store.submit(tooMany, 4)).toHaveLength(2);
  });

  test("what many submit at once counts exactly", async () => {
    const { place } = await useEmpty();
    const stores = await Promise.all([useStore(place), useStore(place)]);
    const calls = Array.from({ length: 30 }, (_, n) => stores[n % 2]!.submit([newJob({ service: `s${n % 3}` })], 10));
    const results = await Promise.allSettled(calls);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(10);
    expect(results.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []))).toEqual(
      Array(20).fill("JOB_QUEUE_FULL"),
    );
  });

  test("pages of every filter show its jobs, the newest first, each once", async () => {
    const store = await useEmptyStore();
    const jobs = Array.from({ length: 60 }, (_, n) =>
      newJob({
        identity: ["ada", "bob", "cyd"][n % 3]!,
        service: ["ocr", "asr"][n % 2]!,
        labels: { parity: String(n % 2), fifth: String(n % 5) },
      }),
    );
    await store.submit(jobs, 100);
    for (const { job, fence } of await store.claim(host, "ocr", 12, LONG_MS)) {
      const outcome = { jobId: job.id, fence, runMs: 1, outputs: { inline: new Uint8Array() } };
      if (job.identity === "ada") await store.complete(outcome);
    }
    const all = await Promise.all(jobs.map(({ id }) => store.get(id)));
    const filters: JobFilter[] = [
      {},
      { identity: "bob" },
      { service: "ocr" },
      { states: ["queued"] },
      { states: ["running", "succeeded"], service: "ocr" },
      { identity: "ada", service: "ocr", states: ["succeeded"] },
      { labels: { parity: "1" } },
      { identity: "cyd", labels: { parity: "0", fifth: "3" } },
      { labels: { fifth: "3", parity: "none" } },
      { states: [] },
    ];
    for (const filter of filters) {
      const expected = all.filter((job) => {
        const { identity, service, states, labels = {} } = filter;
        return (
          (identity === undefined || job!.identity === identity) &&
          (service === undefined || job!.service === service) &&
          (states === undefined || states.includes(job!.state)) &&
          Object.entries(labels).every(([name, value]) => job!.labels[name] === value)
        );
      });
      expect(await allPages(store, filter, 7)).toEqual(expected.toReversed());
    }
  });

  test("jobs that come meanwhile do not move the pages", async () => {
    const store = await useEmptyStore();
    const jobs = newJobs(6);
    await store.submit(jobs, 100);
    const first = await store.list({}, 3, null);
    await store.submit(newJobs(5), 100);
    const second = await store.list({}, 3, first.next);
    expect(idsOf([...first.jobs, ...second.jobs])).toEqual(idsOf(jobs).toReversed());
    expect(second.next).toBeNull();
  });

  test.each(["", "x", "MTIz", "'; drop table job; --"])("%j is no place where a page begins", async (token) => {
    const store = await useEmptyStore();
    await expect(store.list({}, 3, token)).rejects.toMatchObject({ code: "REQUEST_MALFORMED" });
  });

  test("a store that is opened again has everything", async () => {
    const { place } = await useEmpty();
    const store = await useStore(place);
    const claim = await claimNew(store, { idempotencyKey: "k" });
    const outputs = { inline: Buffer.from("outputs") };
    await store.complete({ jobId: claim.job.id, fence: claim.fence, runMs: 12.5, outputs });
    const before = await store.get(claim.job.id);
    await store.close();

    const again = await useStore(place);
    expect(await again.get(claim.job.id)).toEqual(before);
    expect(await again.outputs(claim.job.id)).toEqual({ inline: new Uint8Array(outputs.inline) });
    expect(await again.charges()).toEqual([{ service: "ocr", runs: 1 }]);
    expect((await again.events(claim.job.id, 1)).map(({ type }) => type)).toEqual(["claimed", "succeeded"]);
  });

  test("closing waits for what is under way, can be said twice, and nothing comes after it", async () => {
    const { place } = await useEmpty();
    const store = await useStore(place);
    await store.submit(newJobs(600, { deadlineMs: 1 }), 1000);
    const underWay = [...newJobs(20).map((job) => store.submit([job], 1000)), store.sweep(host)];
    await Promise.all([store.close(), store.close()]);
    expect((await Promise.all(underWay)).at(-1)).toHaveLength(600);
    await expect(store.load()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await (await useStore(place)).load()).toEqual([{ service: "ocr", queued: 20, running: 0 }]);
  });

  test("tables of a newer version are left alone", async () => {
    const { place, rows } = await useEmpty();
    await (await useStore(place)).close();
    await rows("insert into migration (version, applied_ms) values (1000, 0)");
    await expect(useStore(place)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
  });

  test("servers that start together make the tables once", async () => {
    const { place, rows } = await useEmpty();
    const stores = await Promise.all(Array.from({ length: 4 }, () => useStore(place)));
    await Promise.all(stores.map((store) => store.submit([newJob()], 10)));
    expect(await rows("select version from migration")).toHaveLength(1);
    expect(await stores[0]!.load()).toEqual([{ service: "ocr", queued: 4, running: 0 }]);
  });
}

async function allPages(store: Store, filter: JobFilter, pageSize: number) {
  const jobs = [];
  let after: string | null = null;
  do {
    const page = await store.list(filter, pageSize, after);
    expect(page.jobs.length).toBeLessThanOrEqual(pageSize);
    jobs.push(...page.jobs);
    after = page.next;
  } while (after !== null);
  return jobs;
}
