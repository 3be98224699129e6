import { expect, test } from "vitest";
import { type Random, useRandom } from "../../test/helpers/random.ts";
import { JobModel } from "./job-model.fixture.ts";
import { findContradictions, LONG_MS, newJob, type StoreUnderTest, useStore } from "./store.fixture.ts";
import type { JobOwner, NewJob, Store } from "./store.ts";

export function modelConformance(useEmpty: () => Promise<StoreUnderTest>): void {
  test.each([1, 2, 3])("random verbs do to the store what they do to a model (%i)", async () => {
    const random = useRandom();
    const empty = await useEmpty();
    const walk = new Walk(await useStore(empty.place), random);
    for (let step = 0; step < 400; step++) {
      await walk.step();
      if (step % 40 === 0) await walk.compare();
    }
    await walk.compare();
    expect(await findContradictions(empty, true)).toEqual([]);
  });

  test("verbs of many servers at the same time neither fail nor leave a contradiction", async () => {
    const empty = await useEmpty();
    const stores = await Promise.all([useStore(empty.place), useStore(empty.place)]);
    await Promise.all(Array.from({ length: 8 }, (_, index) => disturb(stores, index)));
    expect(await findContradictions(empty)).toEqual([]);
    // And pruning beside it all.
    await Promise.all([...stores.map((store) => store.prune({ maxAgeMs: 1e12, maxBytes: 10 })), disturb(stores, 1)]);
    const [kept] = await empty.rows("select count(*) as jobs from job where state = 'queued'");
    const load = await stores[0]!.load();
    expect(load.reduce((sum, { queued }) => sum + queued, 0)).toBe(Number(kept!.jobs));
  }, 300_000);
}

/** Random verbs at the same time, whose order nobody knows; what contradicts what is left to the tables. */
async function disturb(stores: readonly Store[], index: number): Promise<void> {
  const pick = <T>(choices: readonly T[]) => choices[Math.floor(Math.random() * choices.length)]!;
  const owner = { host: `host-${index % 3}`, life: "1" };
  const failure = { code: "SERVICE_CRASHED", message: "m" };
  for (let step = 0; step < 25; step++) {
    const store = pick(stores);
    const service = pick(["ocr", "asr"]);
    const changes = {
      service,
      identity: pick(["ada", "bob"]),
      priority: pick([0, 1]),
      deadlineMs: pick([null, 1, 4e12]),
    };
    const jobs = await store.submit([newJob(changes), newJob({ ...changes, service: pick(["ocr", "asr"]) })], 1e6);
    const claims = await store.claim(owner, service, 3, pick([1, LONG_MS]));
    const [first, second, third] = claims.map(({ job, fence }) => ({ id: job.id, fence }));
    await Promise.all([
      first &&
        store.complete({ jobId: first.id, fence: first.fence, runMs: 1, outputs: { inline: new Uint8Array(1) } }),
      second && store.fail(second.id, second.fence, failure, true),
      third && store.giveBack(third.id, third.fence),
      store.cancel(pick([...jobs, ...claims.map(({ job }) => job)]).id),
      step % 5 === 0 && store.sweep({ ...owner, life: pick(["1", "2"]) }),
      step % 9 === 0 && store.failQueued(service, failure),
      step % 7 === 0 && store.list({ service }, 10, null),
    ]);
  }
}

/** Says every verb to a store and to its model, and compares what they answer. */
class Walk {
  readonly #store: Store;
  readonly #random: Random;
  readonly #model = new JobModel();
  readonly #lives = new Map([
    ["host-1", 1],
    ["host-2", 1],
  ]);
  /** Claims that were made, most of which hold no more. */
  #claims: { readonly id: string; readonly fence: number }[] = [];
  #ids: string[] = [];

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  async step(): Promise<void> {
    const random = this.#random;
    const verbs = [
      ...Array(6).fill(() => this.#submit()),
      ...Array(6).fill(() => this.#claim()),
      ...Array(8).fill(() => this.#sayOfClaim()),
      ...Array(2).fill(() => this.#cancel()),
      () => this.#restart(),
    ] as (() => Promise<void>)[];
    if (random.chance(0.01)) await this.#prune();
    else await random.pick(verbs)();
  }

  /** Every job, how many wait and run, and what was charged. */
  async compare(): Promise<void> {
    const { jobs } = await this.#store.list({}, 10_000, null);
    const found = jobs.map(({ id, state, attempts, seq, isCancelRequested, failure }) => ({
      ...{ id, state, attempts, seq, isCancelRequested, failure: failure?.code ?? null },
    }));
    const expected = this.#model.jobs
      .map(({ id, state, attempts, seq, isCancelRequested, failure }) => ({
        id,
        state,
        attempts,
        seq,
        isCancelRequested,
        failure,
      }))
      .toSorted((a, b) => (a.id < b.id ? 1 : -1));
    expect(found).toEqual(expected);
    const runs = Object.fromEntries((await this.#store.charges()).map(({ service, runs }) => [service, runs]));
    expect(runs).toEqual(Object.fromEntries(this.#model.runs));
    for (const { service, queued, running } of await this.#store.load()) {
      const inState = (state: string) => expected.filter(({ id }) => this.#isIn(id, service, state)).length;
      expect({ service, queued, running }).toEqual({ service, queued: inState("queued"), running: inState("running") });
    }
  }

  async #submit(): Promise<void> {
    const jobs = Array.from({ length: 1 + this.#random.below(4) }, () => newJob(this.#changes()));
    await this.#store.submit(jobs, 1_000_000);
    this.#model.submit(jobs);
    this.#ids.push(...jobs.map(({ id }) => id));
  }

  #changes(): Partial<NewJob> {
    const random = this.#random;
    return {
      identity: random.pick(["ada", "bob", "cyd"]),
      service: random.pick(["ocr", "asr"]),
      priority: random.below(2),
      deadlineMs: random.pick([null, null, 1, 4e12, 5e12]),
      maxAttempts: 1 + random.below(3),
    };
  }

  async #claim(): Promise<void> {
    const [service, most] = [this.#random.pick(["ocr", "asr"]), 1 + this.#random.below(4)];
    const owner = this.#owner(this.#random.pick([...this.#lives.keys()]));
    const claims = await this.#store.claim(owner, service, most, LONG_MS);
    expect(claims.map(({ job }) => job.id)).toEqual(this.#model.claim(owner, service, most));
    this.#claims.push(...claims.map(({ job, fence }) => ({ id: job.id, fence })));
  }

  async #sayOfClaim(): Promise<void> {
    const random = this.#random;
    // More often one of the last, which may still hold.
    const claim = random.pick(random.chance(0.7) ? this.#claims.slice(-6) : this.#claims);
    if (claim === undefined) return;
    const { id, fence } = claim;
    const [store, model] = [this.#store, this.#model];
    const [failure, mayRetry] = [{ code: "SERVICE_CRASHED", message: "m" }, random.chance(0.7)];
    const outcome = { jobId: id, fence, runMs: 1, outputs: { inline: new Uint8Array(3) } };
    const said = await random.pick([
      async () => [await store.complete(outcome), model.complete(id, fence)],
      async () => [await store.fail(id, fence, failure, mayRetry), model.fail(id, fence, failure.code, mayRetry)],
      async () => [await store.giveBack(id, fence), model.giveBack(id, fence)],
      async () => [await store.confirmCancelled(id, fence), model.confirmCancelled(id, fence)],
      async () => [
        (await store.renew([{ jobId: id, fence, progressPermille: 1, stage: 1 }], LONG_MS))[0],
        model.renew(id, fence),
      ],
    ])();
    expect(said[0]).toBe(said[1]);
  }

  async #cancel(): Promise<void> {
    const id = this.#random.pick(this.#ids);
    if (id === undefined) return;
    this.#model.cancel(id);
    const state = this.#model.jobs.find((job) => job.id === id)?.state;
    expect((await this.#store.cancel(id))?.state).toBe(state);
  }

  async #restart(): Promise<void> {
    const host = this.#random.pick([...this.#lives.keys()]);
    if (this.#random.chance(0.5)) this.#lives.set(host, this.#lives.get(host)! + 1);
    const owner = this.#owner(host);
    expect(await this.#store.sweep(owner)).toHaveLength(this.#model.sweep(owner));
  }

  async #prune(): Promise<void> {
    await this.#store.prune({ maxAgeMs: 1e12, maxBytes: 0 });
    this.#model.prune();
  }

  #isIn(id: string, service: string, state: string): boolean {
    return this.#model.jobs.some((job) => job.id === id && job.service === service && job.state === state);
  }

  #owner(host: string): JobOwner {
    return { host, life: `life-${this.#lives.get(host)}` };
  }
}
