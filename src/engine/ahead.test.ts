import { describe, expect, test } from "vitest";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { stopThreads } from "../../test/helpers/processes.ts";
import { faultyJob, faultyResult, identityJob, useService } from "../../test/helpers/runner.ts";
import type { Charge, Job, JobResult, ServiceRunner } from "./index.ts";

const faulty = nativeLibrary("faulty");
const identity = nativeLibrary("identity");

/** What one job was charged, as it happened. */
class Account implements Charge {
  readonly words: string[] = [];
  readonly begin = (): Charge => {
    this.words.push("begun");
    return this;
  };

  started(): void {
    this.words.push("started");
  }

  ended(): void {
    this.words.push("ended");
  }

  takenBack(): void {
    this.words.push("taken back");
  }
}

/** A service that has shown how short its runs are, so that jobs are laid ahead. */
async function useQuickService(): Promise<ServiceRunner> {
  const { runner } = await useService(faulty, {}, { cancelGraceMs: 200 });
  for (let round = 0; round < 100; round++) await runner.submit(faultyJob("ok"));
  return runner;
}

function enter(runner: ServiceRunner, job: Job): Promise<JobResult> {
  return new Promise((succeeded, failed) => runner.enter(job, { succeeded, failed }));
}

describe("jobs that lie ahead of their turn", () => {
  test("wait in the queue again behind one that takes long, and go in order of priority", async () => {
    const runner = await useQuickService();
    const long = runner.submit(faultyJob("sleep", 200));
    const order: number[] = [];
    const accounts = [3, 1, 2].map((priority) => ({ priority, account: new Account() }));
    const waiting = accounts.map(({ priority, account }) =>
      runner.submit(faultyJob("ok", priority, { priority, begin: account.begin })).then(() => order.push(priority)),
    );
    expect(accounts.every(({ account }) => account.words.length === 1)).toBe(true);
    expect([runner.running, runner.queued]).toEqual([1, 3]);
    await Promise.all([long, ...waiting]);
    expect(order).toEqual([1, 2, 3]);
    for (const { account } of accounts) {
      expect(account.words.slice(0, 2)).toEqual(["begun", "taken back"]);
      expect(account.words.slice(-3)).toEqual(["begun", "started", "ended"]);
    }
  });

  test("run in the next process where theirs ends before their turn, and are charged once", async () => {
    const runner = await useQuickService();
    const crashing = runner.submit(faultyJob("segv"));
    const accounts = Array.from({ length: 5 }, () => new Account());
    const others = accounts.map((account, index) => runner.submit(faultyJob("ok", index, { begin: account.begin })));
    await expect(crashing).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect((await Promise.all(others)).map(({ outputs }) => faultyResult(outputs))).toEqual([0, 1, 2, 3, 4]);
    for (const { words } of accounts) {
      expect(words.filter((word) => word === "begun").length).toBe(
        1 + words.filter((word) => word === "taken back").length,
      );
      expect(words.filter((word) => word === "ended")).toHaveLength(1);
    }
  });

  test("are not run and not charged where their caller leaves before their turn", async () => {
    const runner = await useQuickService();
    const long = runner.submit(faultyJob("sleep", 100));
    const account = new Account();
    const leaving = new AbortController();
    const left = runner.submit(faultyJob("ok", 1, { begin: account.begin }), leaving.signal);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "CANCELLED" });
    await long;
    expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
    expect(account.words).toEqual(["begun", "taken back"]);
  });

  test("are not run by the next process where their caller left before theirs began them", async () => {
    const runner = await useQuickService();
    await stopThreads(runner.pid!);
    const account = new Account();
    const leaving = new AbortController();
    const left = runner.submit(faultyJob("ok", 1, { begin: account.begin }), leaving.signal);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "CANCELLED" });
    // Nobody else is in the process, which is ended when the job has ignored that it should stop.
    expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
    expect(account.words).toEqual(["begun", "started", "taken back"]);
  });

  test("keep their deadline, also while the one before them takes long", async () => {
    const runner = await useQuickService();
    const long = runner.submit(faultyJob("sleep", 300));
    const account = new Account();
    const late = faultyJob("ok", 1, { begin: account.begin, deadlineMs: performance.now() + 50 });
    await expect(runner.submit(late)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await long;
    expect(account.words).not.toContain("started");
  });
});

describe("outputs that are lent", () => {
  test("stay as they are until they are released, whatever runs meanwhile", async () => {
    const { runner } = await useService(identity, {}, { concurrency: 2 });
    const lent = await Promise.all(
      Array.from({ length: 60 }, (_, index) => enter(runner, identityJob(new Uint8Array(1000).fill(index)))),
    );
    for (let round = 0; round < 100; round++) await runner.submit(identityJob(new Uint8Array(1000).fill(255)));
    for (const [index, { outputs }] of lent.entries()) {
      expect(Buffer.from(outputs[0]!.data)).toEqual(Buffer.alloc(1000, index));
    }
    for (const result of lent) {
      result.release();
      result.release();
    }
    expect((await runner.submit(identityJob(new Uint8Array(3).fill(7)))).outputs[0]!.data).toEqual(
      new Uint8Array([7, 7, 7]),
    );
  });

  test("outlive the service, and the memory is given back after them", async () => {
    const { runner } = await useService(identity, {}, {});
    const lent = await enter(runner, identityJob(new Uint8Array(1000).fill(9)));
    await runner.stop(0);
    runner.release();
    expect(lent.outputs[0]!.data).toEqual(Buffer.alloc(1000, 9));
    lent.release();
    expect(lent.outputs[0]!.data).toEqual(Buffer.alloc(1000, 0));
  });
});
