import { describe, expect, test } from "vitest";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, faultyResult, job, useService } from "../../test/helpers/runner.ts";
import { SignetError } from "../errors.ts";
import type { BatchLimits } from "./batch.ts";
import type { Charge, Job, JobResult, ServiceRunner, ServiceRunnerOptions } from "./index.ts";

const batched = nativeLibrary("batched");

// What items with such a first byte do to their run; see native/test/batched.cpp.
const WAIT = 252;
const LOSE = 253;
const CRASH = 254;
const FAIL = 255;

const limits: BatchLimits = { maxSize: 8, preferredSizes: [], maxQueueDelayMs: 0 };

function useBatched(
  batching: Partial<BatchLimits> = {},
  options: Partial<ServiceRunnerOptions> = {},
  config: Record<string, unknown> = { misbehave: true },
) {
  return useService(batched, config, { batching: { ...limits, ...batching }, ...options });
}

/** A request of items that have this first byte. */
function request(first: number, items = 1, options: Partial<Job> = {}, itemBytes = 4): Job {
  const data = Buffer.alloc(items * itemBytes, first);
  return job([{ name: "input", datatype: "UINT8", shape: [items, itemBytes], data }], options);
}

/** What came back: the bytes, and how many items ran together. */
function seen({ outputs }: JobResult): { bytes: number[]; together: number } {
  const [output, together] = outputs;
  const counts = new BigInt64Array(new Uint8Array(together!.data).buffer);
  expect(counts.length).toBe(output!.shape[0]);
  expect(new Set(counts).size).toBe(1);
  return { bytes: [...new Set(output!.data)], together: Number(counts[0]) };
}

/** Codes of failures, and what came back from the others. */
async function outcomes(runner: ServiceRunner, jobs: readonly Job[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(jobs.map((each) => runner.submit(each)));
  return settled.map((each) => (each.status === "fulfilled" ? seen(each.value) : each.reason.code));
}

/** Counts what happens to charges. */
function counting(): { readonly calls: string[]; begin(): Charge } {
  const calls: string[] = [];
  const note = (call: string) => () => void calls.push(call);
  const started = (isTimed: boolean) => void calls.push(isTimed ? "started" : "joined");
  return {
    calls,
    begin: () => {
      calls.push("begin");
      return { started, ended: note("ended"), takenBack: note("takenBack") };
    },
  };
}

describe("requests that come together", () => {
  test("run as one, and each gets what is its own", async () => {
    const { runner } = await useBatched();
    const jobs = [request(1), request(2, 3), request(3, 2)];
    expect(await outcomes(runner, jobs)).toEqual([1, 2, 3].map((byte) => ({ bytes: [byte], together: 6 })));
  });

  test("run in several batches where they are more than one may have, or unlike", async () => {
    const { runner } = await useBatched({ maxSize: 4 });
    const jobs = [request(1, 3), request(2, 2), request(3, 1, {}, 16), request(4, 1), request(5, 2)];
    const together = (await outcomes(runner, jobs)).map((each) => (each as { together: number }).together);
    expect(together).toEqual([4, 4, 1, 4, 4]);
  });

  test("leave as much room in their slot for each output as they take themselves", async () => {
    const { runner } = await useBatched({}, { slotBytes: 3 << 16 });
    const jobs = Array.from({ length: 3 }, (_, index) => request(index, 1, {}, 30_000));
    const together = (await outcomes(runner, jobs)).map((each) => (each as { together: number }).together);
    expect(together).toEqual([2, 2, 1]);
  });

  test("are each charged a run, and the time of one", async () => {
    const { runner } = await useBatched();
    const charges = [counting(), counting(), counting()];
    await outcomes(
      runner,
      charges.map(({ begin }, index) => request(index, 1, { begin })),
    );
    expect(charges.map(({ calls }) => calls)).toEqual([
      ["begin", "started", "ended"],
      ["begin", "joined", "ended"],
      ["begin", "joined", "ended"],
    ]);
  });

  test("do not take a refused one along", async () => {
    const { runner } = await useBatched();
    const begin = () => {
      throw new SignetError("LICENSE_RUNS_EXHAUSTED", "none left");
    };
    const jobs = [request(1), request(FAIL, 1, { begin }), request(3)];
    const ran = (byte: number) => ({ bytes: [byte], together: 2 });
    expect(await outcomes(runner, jobs)).toEqual([ran(1), "LICENSE_RUNS_EXHAUSTED", ran(3)]);
    expect(await outcomes(runner, [request(1, 1, { begin })])).toEqual(["LICENSE_RUNS_EXHAUSTED"]);
  });

  test("are refused before they are charged where one does not even fit alone", async () => {
    const { runner } = await useBatched({}, { slotBytes: 1 << 16 });
    const { calls, begin } = counting();
    expect(await outcomes(runner, [request(1, 8, { begin }, 9000)])).toEqual(["REQUEST_TOO_LARGE"]);
    expect(calls).toEqual([]);
  });
});

describe("one of a batch", () => {
  test("that the plugin refuses fails alone, and each is charged once", async () => {
    const { runner } = await useBatched();
    const { calls, begin } = counting();
    const jobs = [request(1, 1, { begin }), request(FAIL), request(3)];
    const ran = (byte: number) => ({ bytes: [byte], together: 1 });
    expect(await outcomes(runner, jobs)).toEqual([ran(1), "REQUEST_MALFORMED", ran(3)]);
    expect(calls).toEqual(["begin", "started", "takenBack", "begin", "started", "ended"]);
  });

  test("that ends the process ends all of it, and the next succeeds", async () => {
    const { runner } = await useBatched();
    expect(await outcomes(runner, [request(1), request(CRASH)])).toEqual(["SERVICE_CRASHED", "SERVICE_CRASHED"]);
    expect(await outcomes(runner, [request(1)])).toEqual([{ bytes: [1], together: 1 }]);
  });

  test("that gets lost is the plugin's fault, whoever it was", async () => {
    const { runner } = await useBatched();
    expect(await outcomes(runner, [request(1), request(LOSE)])).toEqual(["PLUGIN_FAILED", "PLUGIN_FAILED"]);
    expect(await outcomes(runner, [request(LOSE)])).toEqual(["PLUGIN_FAILED"]);
  });

  test("that is cancelled is answered at once, and the plugin is asked to stop when nobody waits any more", async () => {
    const { runner, events } = await useBatched({}, { cancelGraceMs: 20_000 });
    const callers = [new AbortController(), new AbortController()];
    const begun = Promise.withResolvers<void>();
    const begin = () => {
      const { begin } = counting();
      begun.resolve();
      return begin();
    };
    const waiting = callers.map(({ signal }) => runner.submit(request(WAIT, 1, { begin }), signal));
    await begun.promise;
    callers[0]!.abort();
    await expect(waiting[0]).rejects.toMatchObject({ code: "CANCELLED" });
    expect(runner.running).toBe(1);
    callers[1]!.abort();
    await expect(waiting[1]).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await outcomes(runner, [request(1)])).toEqual([{ bytes: [1], together: 1 }]);
    expect(events.filter(({ type }) => type === "ended")).toEqual([]);
  });

  test("that was cancelled does not keep the others from their result", async () => {
    const { runner } = await useBatched({}, {}, { costUs: 300_000 });
    const leaving = new AbortController();
    const begin = () => {
      setImmediate(() => leaving.abort());
      return counting().begin();
    };
    const cancelled = runner.submit(request(1, 1, { begin }), leaving.signal);
    const patient = runner.submit(request(2));
    await expect(cancelled).rejects.toMatchObject({ code: "CANCELLED" });
    const result = await patient;
    expect(seen(result)).toEqual({ bytes: [2], together: 2 });
    expect(result).toMatchObject({ items: 1, runSize: 2, isFirstOfRun: true });
  });

  test("holds the license's limit on a run for all", async () => {
    const { runner } = await useBatched({}, { cancelGraceMs: 20_000 }, { costUs: 2_000_000 });
    const jobs = [request(1, 1, { runLimitMs: 200 }), request(2, 1, { runLimitMs: 200 })];
    expect(await outcomes(runner, jobs)).toEqual(["JOB_TIME_EXCEEDED", "JOB_TIME_EXCEEDED"]);
  });
});

describe("a batch that is not full", () => {
  test("waits for a preferred size, and runs when that is there", async () => {
    const { runner } = await useBatched({ preferredSizes: [3], maxQueueDelayMs: 60_000 });
    const first = [request(1), request(2)].map((each) => runner.submit(each));
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect([runner.running, runner.queued]).toEqual([0, 2]);
    const last = runner.submit(request(3));
    for (const each of [...first, last]) expect(seen(await each).together).toBe(3);
  });

  test("runs when its first request has waited enough", async () => {
    const { runner } = await useBatched({ maxQueueDelayMs: 20.5 });
    expect(await outcomes(runner, [request(1), request(2)])).toMatchObject([{ together: 2 }, { together: 2 }]);
  });

  test("is not waited for by whoever would have given up by then", async () => {
    const { runner } = await useBatched({ maxQueueDelayMs: 60_000 });
    const impatient = request(1, 1, { queueTimeoutMs: 30_000 });
    expect(await outcomes(runner, [impatient])).toEqual([{ bytes: [1], together: 1 }]);
  });

  test("takes those that came while admission is by reject", async () => {
    const { runner } = await useBatched({}, { admission: "reject" });
    expect(await outcomes(runner, [request(1), request(2)])).toMatchObject([{ together: 2 }, { together: 2 }]);
  });
});

describe("priorities", () => {
  const faulty = nativeLibrary("faulty");
  const urgent = {
    maxQueue: 1,
    queueTimeoutMs: null,
    queueTimeoutAction: "reject",
    allowTimeoutOverride: true,
  } as const;
  const priorities = { levels: 2, default: 2, queues: { 1: urgent } };

  /** A job that keeps the service busy until it is cancelled. */
  async function occupied(runner: ServiceRunner): Promise<() => void> {
    const begun = Promise.withResolvers<void>();
    const caller = new AbortController();
    const begin = () => {
      begun.resolve();
      return counting().begin();
    };
    runner.submit(faultyJob("wait", 60_000, { begin }), caller.signal).catch(() => {});
    await begun.promise;
    return () => caller.abort();
  }

  test("have queues of their own size", async () => {
    const { runner } = await useService(faulty, {}, { priorities, cancelGraceMs: 20_000 });
    const free = await occupied(runner);
    const first = runner.submit(faultyJob("ok", 1, { priority: 1 }));
    await expect(runner.submit(faultyJob("ok", 1, { priority: 1 }))).rejects.toMatchObject({ code: "QUEUE_FULL" });
    const others = [0, 2, 7].map((priority) => runner.submit(faultyJob("ok", 2, { priority })));
    free();
    expect(faultyResult((await first).outputs)).toBe(1);
    for (const other of others) expect(faultyResult((await other).outputs)).toBe(2);
  });

  test("may let those that waited too long wait on, behind the others", async () => {
    const options = { queueTimeoutMs: 20, queueTimeoutAction: "delay", cancelGraceMs: 20_000 } as const;
    const { runner } = await useService(faulty, {}, options);
    const free = await occupied(runner);
    const order: string[] = [];
    const late = runner.submit(faultyJob("ok")).then(() => order.push("late"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const early = runner.submit(faultyJob("ok")).then(() => order.push("early"));
    free();
    await Promise.all([late, early]);
    expect(order).toEqual(["early", "late"]);
  });
});

describe("a service that is stopped", () => {
  test("does not wait for a request that was kept for others and whose caller left", async () => {
    const { runner } = await useBatched({ maxQueueDelayMs: 600_000 });
    const leaving = new AbortController();
    const left = runner.submit(request(1), leaving.signal);
    const stopped = runner.stop(Number.POSITIVE_INFINITY);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "CANCELLED" });
    await stopped;
    expect(runner.state).toBe("stopped");
  });
});
