import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { compileCrooked, useDirectory } from "../../test/helpers/crooked.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { faultyJob, faultyResult, freeOfCharge, identityJob, job, useService } from "../../test/helpers/runner.ts";
import { SignetError } from "../errors.ts";
import { type Job, type ServiceEvent, ServiceRunner } from "./index.ts";

const attack = attacksOn("the gateway by a plugin");

const faulty = nativeLibrary("faulty");
const identity = nativeLibrary("identity");

/** Starts a job and resolves with a promise of its end once native code has begun. */
async function begun(submit: (job: Job) => Promise<unknown>, job: Job): Promise<{ end: Promise<unknown> }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = submit({
    ...job,
    begin: () => {
      resolve();
      return freeOfCharge();
    },
  });
  end.catch(() => {});
  await promise;
  return { end };
}

/** Why its processes ended. */
function endings(events: readonly ServiceEvent[]): string[] {
  return events.flatMap((event) => (event.type === "ended" ? [event.error.code] : []));
}

describe("what a plugin does to its process", () => {
  test.each([
    ["segv", 1, "SERVICE_CRASHED"],
    ["abort", 1, "SERVICE_CRASHED"],
    ["throw", 1, "SERVICE_CRASHED"],
    ["fpe", 1, "SERVICE_CRASHED"],
    ["stack", 1, "SERVICE_CRASHED"],
    ["exit", 0, "SERVICE_CRASHED"],
    ["exit", 42, "SERVICE_CRASHED"],
    ["lie-size", 1, "SERVICE_PROTOCOL"],
    ["lie-shape", 1, "SERVICE_PROTOCOL"],
  ])(
    "%s(%i) fails that job with %s, and the next one succeeds",
    attack.each("misbehaves in its own process"),
    async (mode, amount, code) => {
      const { runner } = await useService(faulty, {});
      const neighbor = await useService(identity, {});
      const bytes = new Uint8Array([1, 2, 3]);

      const failing = runner.submit(faultyJob(mode, amount));
      const other = neighbor.runner.submit(identityJob(bytes));
      await expect(failing).rejects.toMatchObject({ code });
      expect((await other).outputs[0]!.data).toEqual(bytes);

      const next = await runner.submit(faultyJob("ok", 7));
      expect(faultyResult(next.outputs)).toBe(7);
      expect(neighbor.events.filter((event) => event.type === "ended")).toEqual([]);
      observed("its own job failed, the next one and another service's did not");
    },
  );

  // Taken over, it speaks to the gateway by itself, which reads that; so none of it may end the gateway. The job may have
  // been answered by then.
  test.each([
    ["say-noise", 1],
    ["say-node", 1],
    ["say-null", 1],
    ["say-nested", 1],
    ["say-endless", 100],
    ["say-odd", 1],
    ["say-ready", 1],
    ["say-failed", 1],
    ["say-beats", 10_000],
    ["complete-all", 1],
    ["knock", 1000],
  ])(
    "%s(%i) costs it its process, and the next job succeeds",
    attack.each("speaks to the gateway by itself"),
    async (mode, amount) => {
      const { runner, events } = await useService(faulty, {});
      await runner.submit(faultyJob(mode, amount)).catch(({ code }) => expect(code).toBe("SERVICE_PROTOCOL"));
      await expect.poll(() => endings(events), { timeout: 20_000 }).toEqual(["SERVICE_PROTOCOL"]);
      const next = await runner.submit(faultyJob("ok", 7));
      expect(faultyResult(next.outputs)).toBe(7);
      observed("its process was ended, the next job succeeded");
    },
  );

  test(
    "nonsense all over the rings costs the job its time, and the next job succeeds",
    attack("scribbles over the memory that it shares with the gateway", "0xff in every word of the rings"),
    async () => {
      const { runner, events } = await useService(faulty, {}, { cancelGraceMs: 100 });
      await runner
        .submit(faultyJob("scribble", 1, { runLimitMs: 500 }))
        .catch(({ code }) => expect(["JOB_TIME_EXCEEDED", "SERVICE_PROTOCOL"]).toContain(code));
      await expect.poll(() => endings(events), { timeout: 20_000 }).toHaveLength(1);
      expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
      observed("its process was ended, the next job succeeded");
    },
  );

  test(
    "an endless loop is ended at the job's run limit, and the next job succeeds",
    attack("never returns", "an endless loop"),
    async () => {
      const { runner, events } = await useService(faulty, {}, { cancelGraceMs: 100 });
      const looping = runner.submit(faultyJob("loop", 1, { runLimitMs: 200 }));
      const next = runner.submit(faultyJob("ok", 5));
      await expect(looping).rejects.toMatchObject({ code: "JOB_TIME_EXCEEDED" });
      expect(faultyResult((await next).outputs)).toBe(5);
      expect(events.some((event) => event.type === "ended")).toBe(true);
      observed("ended at its run limit, the next job succeeded");
    },
  );

  test(
    "growth of memory that counts as shared ends the process too, and the next job succeeds",
    attack("grows without end", "memory beyond its limit, mapped as shared"),
    async () => {
      const { runner, events } = await useService(faulty, {}, { memoryLimitBytes: 400 * 2 ** 20 });
      await runner.submit(faultyJob("leak-shared", 600)).catch(() => undefined);
      await expect.poll(() => endings(events), { timeout: 20_000 }).toEqual(["SERVICE_OUT_OF_MEMORY"]);
      expect(faultyResult((await runner.submit(faultyJob("ok", 7))).outputs)).toBe(7);
      observed("its process was ended, the next job succeeded");
    },
  );

  test("slots and files that are in use are no growth", async () => {
    const { runner } = await useService(identity, {}, { concurrency: 4, slotBytes: 64 << 20 });
    const before = runner.memoryBytes;
    const bytes = new Uint8Array(24 << 20).fill(1);
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: 4 }, () => runner.submit(identityJob(bytes))));
    }
    expect(runner.memoryBytes - before).toBeLessThan(64 << 20);
  });

  test(
    "growth beyond the memory limit ends the process, and the next job succeeds",
    attack("grows without end", "memory beyond its limit"),
    async () => {
      const { runner, events } = await useService(faulty, {}, { memoryLimitBytes: 400 * 2 ** 20 });
      await runner.submit(faultyJob("leak", 500)).catch((error) => expect(error.code).toBe("SERVICE_OUT_OF_MEMORY"));
      await expect
        .poll(() => events.find((event) => event.type === "ended")?.error.code, { timeout: 30_000 })
        .toBe("SERVICE_OUT_OF_MEMORY");
      expect(faultyResult((await runner.submit(faultyJob("ok", 3))).outputs)).toBe(3);
      observed("its process was ended, the next job succeeded");
    },
  );

  test("an error it reports in words fails the job and leaves the process alone", async () => {
    const { runner, events } = await useService(faulty, {});
    await expect(runner.submit(faultyJob("fail"))).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
    expect(faultyResult((await runner.submit(faultyJob("ok", 3))).outputs)).toBe(3);
    expect(events.filter((event) => event.type === "ended")).toEqual([]);
  });

  test(
    "it cannot take away the memory that the gateway shares with it",
    attack("takes the shared memory away", "ftruncate()"),
    async () => {
      const { runner, events } = await useService(faulty, {});
      await expect(runner.submit(faultyJob("shrink"))).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
      expect(faultyResult((await runner.submit(faultyJob("ok", 3))).outputs)).toBe(3);
      expect(events.filter((event) => event.type === "ended")).toEqual([]);
      observed("the kernel refused it, the next job succeeded");
    },
  );

  test("jobs in the same process when it crashes fail too, those that wait do not", async () => {
    const { runner } = await useService(faulty, {}, { concurrency: 2 });
    const sleeping = await begun((job) => runner.submit(job), faultyJob("sleep", 5_000));
    const crashing = runner.submit(faultyJob("segv"));
    const waiting = runner.submit(faultyJob("ok", 9));
    await expect(crashing).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    await expect(sleeping.end).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect(faultyResult((await waiting).outputs)).toBe(9);
  });

  test("an output in its own memory is copied, an output too large for the slot is refused in words", async () => {
    const { runner, events } = await useService(faulty, {}, { slotBytes: 1 << 20 });
    const grown = await runner.submit(faultyJob("grow", 1000));
    expect(grown.outputs[0]!.shape).toEqual([1000]);
    await expect(runner.submit(faultyJob("grow", 200_000))).rejects.toMatchObject({ code: "OUTPUT_TOO_LARGE" });
    expect(events.filter((event) => event.type === "ended")).toEqual([]);
  });
});

describe("starting", () => {
  test.each(["fail", "segv", "exit", "loop"])(
    "a plugin whose create does %s is reported, not hung on",
    attack.each("misbehaves while it starts"),
    async (create) => {
      const started = useService(faulty, { create }, { startTimeoutMs: 3_000 });
      await expect(started).rejects.toMatchObject({ code: "SERVICE_START_FAILED" });
    },
  );

  test(
    "a plugin that grows without end before it is ready is stopped at the limit too",
    attack("misbehaves while it starts", "memory beyond its limit"),
    async () => {
      const started = useService(
        faulty,
        { create: "leak" },
        { memoryLimitBytes: 400 * 2 ** 20, startTimeoutMs: 15_000 },
      );
      await expect(started).rejects.toMatchObject({ code: "SERVICE_OUT_OF_MEMORY" });
    },
  );

  test("the time a plugin has to start says nothing about how long it may live", async () => {
    const { runner, events } = await useService(faulty, {}, { startTimeoutMs: 3_000 });
    await runner.submit(faultyJob("sleep", 3_500));
    expect(events.filter((event) => event.type === "ended")).toEqual([]);
  });

  test(
    "a plugin whose tensors differ from the licensed ones is refused",
    attack("has other tensors than were licensed", "FP32 instead of UINT8"),
    async () => {
      const started = useService(identity, {}, { inputs: [{ name: "input", datatype: "FP32", shape: [-1] }] });
      await expect(started).rejects.toMatchObject({ code: "PLUGIN_INCOMPATIBLE" });
    },
  );
});

describe("progress", () => {
  /** Enters jobs at once; what each says of its progress, and a promise of each end. */
  function entered(runner: ServiceRunner, jobs: readonly Job[]) {
    return jobs.map((job) => {
      const { promise: end, resolve, reject } = Promise.withResolvers<unknown>();
      end.catch(() => {});
      return { submitted: runner.enter(job, { succeeded: resolve, failed: reject }), end };
    });
  }

  test("is what the plugin says while a job has its turn, and nothing before and after", async () => {
    const { runner } = await useService(faulty, {}, { cancelGraceMs: 20_000 });
    const [long, next] = entered(runner, [faultyJob("wait", 60_000), faultyJob("ok")]);
    expect(next!.submitted.progress).toBeUndefined();
    await expect.poll(() => long!.submitted.progress?.permille, { timeout: 20_000 }).toBeGreaterThan(0);
    const seen = long!.submitted.progress!;
    expect(seen).toMatchObject({ stage: 1 });
    await expect.poll(() => long!.submitted.progress?.heartbeat).not.toBe(seen.heartbeat);
    long!.submitted.cancel(new SignetError("CANCELLED", "by the test"));
    await next!.end;
    expect([long, next].map((job) => job!.submitted.progress)).toEqual([undefined, undefined]);
  });

  test("is that of all where jobs run as one", async () => {
    const library = compileCrooked(join(useDirectory(), "stuck.so"), { faults: ["RUN_PROGRESS", "RUN_LOOP"] });
    const batching = { maxSize: 2, preferredSizes: [], maxQueueDelayMs: 0 };
    const { runner } = await useService(library, {}, { batching, cancelGraceMs: 100 });
    const input = { name: "in", datatype: "UINT8", shape: [1], data: new Uint8Array(1) } as const;
    const both = entered(runner, [job([input]), job([input])]);
    await expect.poll(() => both.map(({ submitted }) => submitted.progress?.permille)).toEqual([1000, 1000]);
    for (const { submitted } of both) submitted.cancel(new SignetError("CANCELLED", "by the test"));
    await expect.poll(() => both.map(({ submitted }) => submitted.progress)).toEqual([undefined, undefined]);
  });
});

describe("waiting and stopping", () => {
  test("a plugin that says it takes one job at a time gets one, however many are licensed", async () => {
    const library = compileCrooked(join(useDirectory(), "single.so"), { faults: ["DESCRIBE_SINGLE", "RUN_RACE"] });
    const { runner } = await useService(library, {}, { concurrency: 4 });
    const input = { name: "in", datatype: "UINT8", shape: [1], data: new Uint8Array(1) } as const;
    let running = 0;
    let most = 0;
    const begin = () => {
      most = Math.max(most, ++running);
      return freeOfCharge(() => running--);
    };
    const results = await Promise.all(Array.from({ length: 8 }, () => runner.submit(job([input], { begin }))));
    expect(results.map(({ outputs }) => outputs[0]!.data[0])).toEqual(new Array(8).fill(0));
    expect(most).toBe(1);
  });

  test("a process that cannot even be started is tried again, while jobs wait until their deadline", async () => {
    const events: ServiceEvent[] = [];
    const runner = new ServiceRunner({
      ...{ name: "impossible", files: [], config: {}, inputs: [], outputs: [], concurrency: 1, admission: "queue" },
      ...{ maxQueue: 1, queueTimeoutMs: null, slotBytes: 1, memoryLimitBytes: 1, cancelGraceMs: 1, startTimeoutMs: 1 },
      home: "no\0directory",
      onEvent: (event) => events.push(event),
    });
    onTestFinished(() => runner.stop(0));
    expect(await runner.start()).toMatchObject({ code: "INTERNAL" });
    await expect.poll(() => events.filter((event) => event.type === "ended").length).toBeGreaterThan(2);
    const late = job([], { deadlineMs: performance.now() + 50 });
    await expect(runner.submit(late)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });

  test("a full queue refuses, and what waits runs in order of priority", async () => {
    const { runner } = await useService(faulty, {}, { maxQueue: 2 });
    const order: string[] = [];
    const first = await begun((job) => runner.submit(job), faultyJob("wait", 300));
    const low = runner.submit(faultyJob("ok", 1, { priority: 2 })).then(() => order.push("low"));
    const high = runner.submit(faultyJob("ok", 1, { priority: 1 })).then(() => order.push("high"));
    await expect(runner.submit(faultyJob("ok"))).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await Promise.all([first.end, low, high]);
    expect(order).toEqual(["high", "low"]);
  });

  test("admission by reject answers at once while a job runs", async () => {
    const { runner } = await useService(faulty, {}, { admission: "reject" });
    const first = await begun((job) => runner.submit(job), faultyJob("wait", 300));
    await expect(runner.submit(faultyJob("ok"))).rejects.toMatchObject({ code: "SERVICE_BUSY" });
    await first.end;
    expect(faultyResult((await runner.submit(faultyJob("ok", 2))).outputs)).toBe(2);
  });

  test("a caller's cancellation reaches a plugin that looks, without costing its process", async () => {
    const { runner, events } = await useService(faulty, {}, { cancelGraceMs: 20_000 });
    const controller = new AbortController();
    const running = await begun((job) => runner.submit(job, controller.signal), faultyJob("wait", 60_000));
    controller.abort();
    await expect(running.end).rejects.toMatchObject({ code: "CANCELLED" });
    expect(faultyResult((await runner.submit(faultyJob("ok", 4))).outputs)).toBe(4);
    expect(events.filter((event) => event.type === "ended")).toEqual([]);
  });

  test(
    "a deadline answers the caller, and a plugin that ignores it loses its process",
    attack("ignores a deadline", "an endless loop"),
    async () => {
      const { runner, events } = await useService(faulty, {}, { cancelGraceMs: 100 });
      const late = runner.submit(faultyJob("loop", 1, { deadlineMs: performance.now() + 200 }));
      await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
      expect(faultyResult((await runner.submit(faultyJob("ok", 6))).outputs)).toBe(6);
      expect(events.filter((event) => event.type === "ended")).toHaveLength(1);
    },
  );

  test(
    "one caller's stuck job never ends another caller's running job",
    attack("ends another caller's job by a stuck one", "two jobs in one process"),
    async () => {
      const { runner } = await useService(faulty, {}, { concurrency: 2, cancelGraceMs: 50 });
      const patient = await begun((job) => runner.submit(job), faultyJob("sleep", 1_000));
      const stuck = runner.submit(faultyJob("loop", 1, { deadlineMs: performance.now() + 50 }));
      await expect(stuck).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
      await expect(patient.end).resolves.toBeDefined();
      observed("the other caller was answered");
    },
  );

  test("a job beyond the license's limit takes others along, and tells them so and not that they cancelled", async () => {
    const { runner, events } = await useService(faulty, {}, { concurrency: 2, cancelGraceMs: 50 });
    const leaving = new AbortController();
    const stuck = await begun((job) => runner.submit(job, leaving.signal), faultyJob("loop", 1, { runLimitMs: 300 }));
    const patient = await begun((job) => runner.submit(job), faultyJob("loop"));
    leaving.abort();
    await expect(stuck.end).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(patient.end).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect(events).toContainEqual(
      expect.objectContaining({ type: "ended", error: expect.objectContaining({ code: "SERVICE_CRASHED" }) }),
    );
    await runner.submit(faultyJob("ok"));
  });

  test("a job cancelled while it waits never begins", async () => {
    const { runner } = await useService(faulty, {});
    const first = await begun((job) => runner.submit(job), faultyJob("wait", 300));
    const controller = new AbortController();
    let hasBegun = false;
    const waiting = runner.submit(
      faultyJob("ok", 1, {
        begin: () => {
          hasBegun = true;
          return freeOfCharge();
        },
      }),
      controller.signal,
    );
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
    await first.end;
    await runner.submit(faultyJob("ok"));
    expect(hasBegun).toBe(false);
  });

  test("stopping lets running and waiting jobs end, and refuses new ones", async () => {
    const { runner } = await useService(faulty, {});
    const running = await begun((job) => runner.submit(job), faultyJob("sleep", 200));
    const waiting = runner.submit(faultyJob("ok", 8));
    const stopped = runner.stop(10_000);
    await expect(runner.submit(faultyJob("ok"))).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
    await running.end;
    expect(faultyResult((await waiting).outputs)).toBe(8);
    await stopped;
  });

  test("a job that does not end within the drain time is ended", async () => {
    const { runner } = await useService(faulty, {});
    const running = await begun((job) => runner.submit(job), faultyJob("loop"));
    await runner.stop(100);
    await expect(running.end).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
  });

  test("begin and its end are called exactly once for a job, also when it crashes", async () => {
    const { runner } = await useService(faulty, {});
    const calls: string[] = [];
    const begin = () => {
      calls.push("begin");
      return freeOfCharge(() => calls.push("end"));
    };
    await expect(runner.submit(faultyJob("segv", 1, { begin }))).rejects.toMatchObject({ code: "SERVICE_CRASHED" });
    expect(calls).toEqual(["begin", "end"]);
  });
});
