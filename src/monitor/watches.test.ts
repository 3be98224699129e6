import { expect, test } from "vitest";
import type { RunningJob } from "../engine/index.ts";
import type { ErrorCode } from "../errors.ts";
import { EventList } from "./event-list.ts";
import { FailureWatch } from "./failure-watch.ts";
import { HeartbeatWatch } from "./heartbeat-watch.ts";
import { MemoryWatch } from "./memory-watch.ts";

const MIB = 2 ** 20;

/** A job whose words a test writes, as a plugin does into its control block. */
function jobAt(heartbeat: number): RunningJob & { progress: { permille: number; stage: number; heartbeat: number } } {
  return { ids: ["j"], turnMs: 0, progress: { permille: 0, stage: 0, heartbeat }, cancel: () => {} };
}

test("a job is stuck when nothing of its progress has moved for so long, and it is found once", () => {
  const watch = new HeartbeatWatch();
  const [still, moving] = [jobAt(1), jobAt(1)];
  const look = (nowMs: number) => watch.look([still, moving], 1000, nowMs);
  expect(look(0)).toEqual([]);
  moving.progress.stage = 1;
  expect(look(900)).toEqual([]);
  expect(look(1000)).toEqual([still]);
  expect(watch.stuck).toBe(1);
  expect(look(1500)).toEqual([]);
  expect(look(1900)).toEqual([moving]);
  still.progress.heartbeat = 2;
  look(2000);
  expect(watch.stuck).toBe(1);
  watch.look([], 1000, 2100);
  expect(watch.stuck).toBe(0);
});

test("no job is stuck where nobody asks for it, or before it says anything", () => {
  const watch = new HeartbeatWatch();
  const job = jobAt(0);
  const silent: RunningJob = { ...job, progress: undefined };
  for (const nowMs of [0, 1e9]) {
    expect(watch.look([job], 0, nowMs)).toEqual([]);
    expect(watch.look([silent], 1000, nowMs)).toEqual([]);
  }
});

test("memory that rises look after look towards its limit is found once, until it falls", () => {
  const watch = new MemoryWatch();
  const found: number[] = [];
  const look = (mib: number, at: number) => {
    if (watch.look(mib * MIB, 1000 * MIB, at * 5000) !== undefined) found.push(at);
  };
  for (let at = 0; at < 20; at++) look(500 + 10 * at, at);
  expect(found).toEqual([5]);
  look(400, 20);
  expect(watch.isGrowing).toBe(false);
  for (let at = 21; at < 40; at++) look(500 + 10 * (at - 21), at);
  expect(found).toEqual([5, 25]);
});

test("memory that stays, sways, is far from its limit or takes hours to it is no growth", () => {
  const samples: ((at: number) => number)[] = [
    () => 900,
    (at) => 900 + (at % 2) * 50,
    (at) => 100 + at * 10,
    (at) => 900 + at * 0.01,
  ];
  for (const mib of samples) {
    const watch = new MemoryWatch();
    for (let at = 0; at < 40; at++) expect(watch.look(mib(at) * MIB, 1000 * MIB, at * 5000)).toBe(undefined);
  }
});

test("ten failures of the service in a row are found, those of callers are not, and a success ends it", () => {
  const watch = new FailureWatch();
  const failures = new Map<ErrorCode, number>();
  const look = (code: ErrorCode, count: number, successes: number) =>
    watch.look({ successes, failures: failures.set(code, count) });
  expect(look("REQUEST_MALFORMED", 1000, 1)).toBe(undefined);
  expect(look("PLUGIN_FAILED", 9, 1)).toBe(undefined);
  expect(look("SERVICE_CRASHED", 1, 1)).toBe(10);
  expect(look("SERVICE_CRASHED", 5, 1)).toBe(undefined);
  expect(watch.isFailing).toBe(true);
  expect(look("SERVICE_CRASHED", 5, 2)).toBe(0);
  expect(look("SERVICE_CRASHED", 14, 2)).toBe(undefined);
  expect(look("SERVICE_CRASHED", 15, 2)).toBe(10);
});

test("what repeats is one event that is counted, and no more are kept than there is room for", () => {
  const list = new EventList();
  for (let time = 0; time < 3; time++) list.add("ocr", "ended", `time ${time}`, "SERVICE_CRASHED");
  list.add("asr", "ended", "another's", "SERVICE_CRASHED");
  list.add("ocr", "ended", "time 3", "SERVICE_CRASHED");
  expect(list.events).toMatchObject([
    { service: "asr", count: 1 },
    { service: "ocr", count: 4, message: "time 3" },
  ]);
  list.add("ocr", "ended", "otherwise", "SERVICE_OUT_OF_MEMORY");
  expect(list.events.map(({ count }) => count)).toEqual([1, 4, 1]);
  for (let number = 0; number < 1000; number++) list.add(`service-${number}`, "ended", "");
  expect(list.events).toHaveLength(200);
  expect(list.countsOf("ocr").get("ended")).toBe(5);
});
