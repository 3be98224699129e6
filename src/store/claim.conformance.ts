import { expect, test } from "vitest";
import {
  claimNew,
  findContradictions,
  host,
  idsOf,
  LONG_MS,
  newJob,
  newJobs,
  otherHost,
  type StoreUnderTest,
  useStore,
} from "./store.fixture.ts";
import type { JobClaim, Store } from "./store.ts";

export function claimConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  const useEmptyStore = async () => await useStore((await useEmpty()).place);

  test("a claim has the job, its inputs and what later words need", async () => {
    const store = await useEmptyStore();
    const job = newJob();
    await store.submit([job], 10);
    const [claim] = await store.claim(host, "ocr", 5, LONG_MS);
    expect(claim).toMatchObject({
      job: { id: job.id, state: "running", attempts: 1, seq: 2, isCancelRequested: false },
      inputs: { inline: new Uint8Array(Buffer.from("inputs")) },
    });
    expect(claim!.job.startedMs).toBeGreaterThanOrEqual(claim!.job.submittedMs);
    expect(await store.get(job.id)).toEqual(claim!.job);
    expect(await store.claim(host, "ocr", 5, LONG_MS)).toEqual([]);
    expect(await store.load()).toEqual([{ service: "ocr", queued: 0, running: 1 }]);
  });

  test("only jobs of the service are claimed, and no more than were asked for", async () => {
    const store = await useEmptyStore();
    await store.submit([...newJobs(3), newJob({ service: "asr" })], 10);
    expect(await store.claim(host, "tts", 5, LONG_MS)).toEqual([]);
    expect(await store.claim(host, "ocr", 2, LONG_MS)).toHaveLength(2);
    expect(await store.claim(host, "ocr", 2, LONG_MS)).toHaveLength(1);
  });

  test("the smallest priority is first, then the earliest deadline, then the oldest", async () => {
    const store = await useEmptyStore();
    const tomorrow = Date.now() + 86_400_000;
    const [old, late, early, urgent, young] = [
      newJob(),
      newJob({ deadlineMs: tomorrow + 1 }),
      newJob({ deadlineMs: tomorrow }),
      newJob({ priority: 0 }),
      newJob(),
    ];
    await store.submit([old!, late!, early!, urgent!, young!], 10);
    expect(await claimedIds(store, 5)).toEqual(idsOf([urgent!, early!, late!, old!, young!]));
  });

  test("a job whose deadline has passed is not claimed", async () => {
    const store = await useEmptyStore();
    const inTime = newJobs(2, { identity: "cyd" });
    const overdue = ["ada", "bob"].map((identity) => newJob({ identity, deadlineMs: 1 }));
    await store.submit([...overdue, ...inTime], 10);
    expect(await claimedIds(store, 1)).toEqual([inTime[0]!.id]);
    expect(await claimedIds(store, 9)).toEqual([inTime[1]!.id]);
  });

  test.each([1, 2, 7])("identities take turns however much they have, claimed by %i", async (most) => {
    const store = await useEmptyStore();
    await store.submit(newJobs(200, { identity: "ada" }), 1000);
    await store.submit(newJobs(3, { identity: "bob" }), 1000);
    await store.submit(newJobs(1, { identity: "cyd" }), 1000);
    const claimed: string[] = [];
    while (claimed.length < 10)
      for (const { job } of await store.claim(host, "ocr", most, LONG_MS)) claimed.push(job.identity);
    expect(claimed.slice(0, 8)).toEqual(["ada", "bob", "cyd", "ada", "bob", "ada", "bob", "ada"]);
  });

  test("whoever comes later begins with the others, neither behind what they had nor before what they have", async () => {
    const store = await useEmptyStore();
    await store.submit(newJobs(50, { identity: "bob" }), 1000);
    await claimedIds(store, 20);
    await store.submit(newJobs(5, { identity: "cyd" }), 1000);
    expect(await claimedIdentities(store, 6)).toBe("cyd bob cyd bob cyd bob");
  });

  test("whoever sends one at a time does not keep the others waiting", async () => {
    const store = await useEmptyStore();
    await store.submit(newJobs(10, { identity: "bob" }), 1000);
    const claimed: string[] = [];
    for (let n = 0; n < 10; n++) {
      await store.submit([newJob({ identity: "ada" })], 1000);
      claimed.push(await claimedIdentities(store, 1));
      if (claimed.at(-1) === "bob") claimed.push(await claimedIdentities(store, 1));
    }
    expect(claimed.filter((identity) => identity === "bob").length).toBeGreaterThanOrEqual(9);
  });

  test("who was alone for long owes nobody anything for that", async () => {
    const store = await useEmptyStore();
    await store.submit(newJobs(100, { identity: "ada" }), 1000);
    await claimedIds(store, 100);
    await store.submit(newJobs(5, { identity: "bob" }), 1000);
    await store.submit(newJobs(5, { identity: "ada" }), 1000);
    expect(await claimedIdentities(store, 4)).toBe("bob ada bob ada");
  });

  test("every claim is one run, and one that is given back is none", async () => {
    const store = await useEmptyStore();
    await store.submit([...newJobs(3), newJob({ service: "asr" })], 10);
    const claims = await store.claim(host, "ocr", 3, LONG_MS);
    await store.claim(host, "asr", 1, LONG_MS);
    expect(await store.charges()).toEqual([
      { service: "asr", runs: 1 },
      { service: "ocr", runs: 3 },
    ]);
    expect(await store.giveBack(claims[1]!.job.id, claims[1]!.fence)).toBe(true);
    expect(await store.charges()).toContainEqual({ service: "ocr", runs: 2 });
    await store.fail(claims[0]!.job.id, claims[0]!.fence, { code: "SERVICE_CRASHED", message: "m" }, true);
    await store.claim(host, "ocr", 3, LONG_MS);
    expect(await store.charges()).toContainEqual({ service: "ocr", runs: 4 });
  });

  test("what is given back is next again, and it was no attempt", async () => {
    const store = await useEmptyStore();
    await store.submit([...newJobs(3, { identity: "ada" }), ...newJobs(3, { identity: "bob" })], 10);
    const [first] = await store.claim(host, "ocr", 1, LONG_MS);
    await store.giveBack(first!.job.id, first!.fence);
    const [again] = await store.claim(otherHost, "ocr", 1, LONG_MS);
    expect(again!.job).toMatchObject({ id: first!.job.id, attempts: 1, state: "running" });
    expect(again!.fence).toBeGreaterThan(first!.fence);
    expect(await store.giveBack(first!.job.id, first!.fence)).toBe(false);
    expect(await claimedIdentities(store, 5)).toBe("bob ada bob ada bob");
  });

  test("what stands before a job is what is claimed before it", async () => {
    const store = await useEmptyStore();
    await store.submit(
      [
        ...newJobs(5, { identity: "ada" }),
        ...newJobs(2, { identity: "bob" }),
        ...newJobs(3, { identity: "cyd", priority: 0 }),
        ...newJobs(2, { identity: "ada", priority: 2 }),
      ],
      100,
    );
    await store.claim(host, "ocr", 1, LONG_MS);
    await store.submit(newJobs(2, { identity: "dan" }), 100);
    const { jobs } = await store.list({ states: ["queued"] }, 100, null);
    const ahead = new Map<string, number>();
    for (const { id } of jobs) ahead.set(id, await store.ahead(id, 100));
    const bounded = await Promise.all(jobs.map(({ id }) => store.ahead(id, 4)));
    expect(bounded).toEqual(jobs.map(({ id }) => Math.min(4, ahead.get(id)!)));
    const order = await claimedIds(store, 100);
    expect(order.map((id) => ahead.get(id))).toEqual(order.map((_, index) => index));
    expect(await store.ahead(order[0]!, 100)).toBe(0);
  });

  test("many claimers at once get each job once", async () => {
    const empty = await useEmpty();
    const stores = await Promise.all(Array.from({ length: 3 }, () => useStore(empty.place)));
    const jobs = Array.from({ length: 300 }, (_, n) => newJob({ identity: `i${n % 7}`, priority: n % 3 }));
    await stores[0]!.submit(jobs, 1000);
    const claims: JobClaim[] = [];
    const claimAll = async (claimer: number) => {
      const owner = { host: `host-${claimer}`, life: "1" };
      while (true) {
        const some = await stores[claimer % 3]!.claim(owner, "ocr", 1 + (claimer % 4), LONG_MS);
        if (some.length === 0) return;
        claims.push(...some);
        const { job, fence } = some[0]!;
        if (claimer % 2 === 0)
          await stores[claimer % 3]!.complete({
            jobId: job.id,
            fence,
            runMs: 1,
            outputs: { inline: new Uint8Array(1) },
          });
      }
    };
    await Promise.all(Array.from({ length: 12 }, (_, claimer) => claimAll(claimer)));
    expect(claims.map(({ job }) => job.id).toSorted()).toEqual(idsOf(jobs));
    expect(await stores[0]!.charges()).toEqual([{ service: "ocr", runs: 300 }]);
    expect(await findContradictions(empty)).toEqual([]);
  });

  test("a claim that is not completed is claimed by nobody else while its lease lasts", async () => {
    const store = await useEmptyStore();
    const { job } = await claimNew(store);
    await store.sweep(host);
    expect(await store.claim(otherHost, "ocr", 1, LONG_MS)).toEqual([]);
    expect(await store.get(job.id)).toMatchObject({ state: "running" });
  });
}

async function claimedIds(store: Store, most: number): Promise<readonly string[]> {
  return (await store.claim(host, "ocr", most, LONG_MS)).map(({ job }) => job.id);
}

async function claimedIdentities(store: Store, most: number): Promise<string> {
  return (await store.claim(host, "ocr", most, LONG_MS)).map(({ job }) => job.identity).join(" ");
}
