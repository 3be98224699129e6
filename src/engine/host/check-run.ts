import { Worker } from "node:worker_threads";
import {
  CONTROL_BYTES,
  controlOffsets,
  type PluginFacts,
  type PluginProbe,
  type ProbeRun,
  SIGNET_CANCELLED,
  SIGNET_OK,
} from "../../plugin/index.ts";
import type { OpenedInstance } from "./check-instance.ts";
import { digestOf, failedRunProblems, failureText, runProblems } from "./check-judge.ts";
import { type CheckReport, ownMemoryBytes } from "./check-process.ts";
import { formatTensors, hasOpenInput, roomsFor, triedSizes, zeroInputs } from "./check-tensors.ts";
import type { CheckThreadData, CheckThreadReply } from "./check-thread.ts";

/** @returns what open dimensions were set to in a run that succeeded, or null */
export async function checkRun(
  probe: PluginProbe,
  opened: OpenedInstance,
  facts: PluginFacts,
  report: CheckReport,
): Promise<number | null> {
  const control = Buffer.alloc(CONTROL_BYTES);
  const found = await findSize(probe, opened, control, report);
  if (found === null) return null;
  await checkProgress(facts, control, found.run, report);
  await checkSmallRooms(probe, opened, found.size, found.run, report);
  await checkRunMemory(probe, opened, found.size, report);
  return found.size;
}

/** Tries sizes until one is taken. A refusal in words is no fault: nobody promised that zeros make sense. */
async function findSize(
  probe: PluginProbe,
  opened: OpenedInstance,
  control: Buffer,
  report: CheckReport,
): Promise<{ size: number; run: ProbeRun } | null> {
  await report.trying("run with zeros");
  let refusal = "";
  for (const size of hasOpenInput(opened.inputs) ? triedSizes : [1]) {
    const inputs = zeroInputs(opened.inputs, size);
    if (inputs === null) break;
    control.fill(0);
    const run = probe.run(opened.instance, inputs, roomsFor(opened.outputs), control);
    if (run.status === SIGNET_OK) {
      await report.verdict(
        runProblems(run, opened.outputs),
        `${formatTensors(inputs)} to ${formatResults(opened, run)} in ${run.runMs.toFixed(1)} ms`,
      );
      return { size, run };
    }
    const problems = failedRunProblems(run);
    if (problems.length > 0) {
      await report.fail(`${formatTensors(inputs)}: ${[failureText(run), ...problems].join("; ")}`);
      return null;
    }
    refusal = `${formatTensors(inputs)}: ${failureText(run)}`;
  }
  await report.skip(`zeros of no size tried were taken; the last, ${refusal}`);
  return null;
}

function formatResults(opened: OpenedInstance, run: ProbeRun): string {
  return formatTensors(run.outputs.map(({ shape }, index) => ({ name: opened.outputs[index]!.name, shape })));
}

async function checkProgress(facts: PluginFacts, control: Buffer, run: ProbeRun, report: CheckReport): Promise<void> {
  await report.trying("progress and heartbeat");
  const word = (at: number) => control.readUInt32LE(at);
  const permille = word(controlOffsets.progressPermille);
  const heartbeat = word(controlOffsets.heartbeat);
  const stage = word(controlOffsets.stage);
  const found = `progress ${permille} of 1000, stage ${stage}, heartbeat ${heartbeat}`;
  if (permille > 1000) await report.fail(`${found}: more than the whole`);
  else if (!facts.progress || permille > 0) await report.ok(found);
  else if (run.runMs < 100) await report.skip(`${found}; a run of ${run.runMs.toFixed(1)} ms may have none to tell`);
  else await report.warn(`${found}, though describe(NULL) says "progress": true`);
}

/** With no room, and with one byte too little, the result has to come in memory of the plugin's own. */
async function checkSmallRooms(
  probe: PluginProbe,
  opened: OpenedInstance,
  size: number,
  first: ProbeRun,
  report: CheckReport,
): Promise<void> {
  await report.trying("outputs larger than the caller's room");
  if (first.outputs.every(({ bytes }) => bytes === 0)) {
    await report.skip("every output was empty");
    return;
  }
  const problems: string[] = [];
  for (const room of [() => 0, (bytes: number) => Math.max(0, bytes - 1)]) {
    const rooms = opened.outputs.map(({ name }, index) => ({ name, room: room(first.outputs[index]!.bytes) }));
    const run = probe.run(opened.instance, zeroInputs(opened.inputs, size)!, rooms, Buffer.alloc(CONTROL_BYTES));
    if (run.status !== SIGNET_OK) problems.push(failureText(run), ...failedRunProblems(run));
    else problems.push(...runProblems(run, opened.outputs));
  }
  await report.verdict(problems, "lent by the plugin, released");
}

const WARM_RUNS = 20;
const MAX_RUNS = 500;
const MEMORY_BUDGET_MS = 2_000;
const GROWTH_BYTES = 16 << 20;

async function checkRunMemory(
  probe: PluginProbe,
  opened: OpenedInstance,
  size: number,
  report: CheckReport,
): Promise<void> {
  await report.trying("memory after many runs");
  // No room, so that what is lent and released is part of it.
  const rooms = opened.outputs.map(({ name }) => ({ name, room: 0 }));
  const inputs = zeroInputs(opened.inputs, size)!;
  const control = Buffer.alloc(CONTROL_BYTES);
  const repeat = (most: number): number => {
    const until = performance.now() + MEMORY_BUDGET_MS;
    let runs = 0;
    while (runs < most && performance.now() < until) {
      probe.run(opened.instance, inputs, rooms, control);
      runs++;
    }
    return runs;
  };
  repeat(WARM_RUNS);
  const before = ownMemoryBytes();
  const runs = repeat(MAX_RUNS);
  const grown = Math.max(0, ownMemoryBytes() - before);
  const found = `${(grown / 2 ** 20).toFixed(1)} MiB more after ${runs} runs, at most ${GROWTH_BYTES >> 20} expected`;
  await (grown > GROWTH_BYTES ? report.warn(found) : report.ok(found));
}

/** A client may send no elements at all wherever the service leaves the size open. */
export async function checkEmpty(probe: PluginProbe, opened: OpenedInstance, report: CheckReport): Promise<void> {
  await report.trying("run with no elements");
  if (!hasOpenInput(opened.inputs)) {
    await report.skip("every input has a fixed size");
    return;
  }
  const inputs = zeroInputs(opened.inputs, 0)!;
  const run = probe.run(opened.instance, inputs, roomsFor(opened.outputs), Buffer.alloc(CONTROL_BYTES));
  const isOk = run.status === SIGNET_OK;
  await report.verdict(
    isOk ? runProblems(run, opened.outputs) : failedRunProblems(run),
    isOk ? formatResults(opened, run) : failureText(run),
  );
}

/** A run shorter than this may end before it looks at anything. */
const SHORT_RUN_MS = 50;

/** Asked to stop before it begins: a run that looks ends at once, one that does not takes its usual time. */
export async function checkStop(
  probe: PluginProbe,
  opened: OpenedInstance,
  size: number,
  report: CheckReport,
): Promise<void> {
  const run = (control: Buffer) =>
    probe.run(opened.instance, zeroInputs(opened.inputs, size)!, roomsFor(opened.outputs), control);
  await report.trying("run, to know its usual time");
  const usualMs = run(Buffer.alloc(CONTROL_BYTES)).runMs;

  await report.trying("cancel word");
  const cancelled = Buffer.alloc(CONTROL_BYTES);
  cancelled.writeUInt32LE(1, controlOffsets.cancel);
  const stopped = run(cancelled);
  const took = `after ${stopped.runMs.toFixed(1)} ms, ${usualMs.toFixed(1)} ms without`;
  if (stopped.status === SIGNET_CANCELLED) await report.verdict(failedRunProblems(stopped), `SIGNET_CANCELLED ${took}`);
  else if (stopped.status !== SIGNET_OK) await report.fail(`expected SIGNET_CANCELLED, found ${failureText(stopped)}`);
  else if (usualMs < SHORT_RUN_MS) await report.skip(`the run ended ${took}: too short to be stopped`);
  else await report.fail(`expected SIGNET_CANCELLED, found SIGNET_OK ${took}, though it says "cancel": "poll"`);
}

const THREADS = 2;
const RUNS_PER_THREAD = 20;

/** Two threads at once must get what one gets. */
export async function checkThreads(
  probe: PluginProbe,
  plugin: bigint,
  opened: OpenedInstance,
  size: number,
  report: CheckReport,
): Promise<void> {
  await report.trying("run by one thread, twice");
  const alone = () => {
    const inputs = zeroInputs(opened.inputs, size)!;
    return digestOf(probe.run(opened.instance, inputs, roomsFor(opened.outputs), Buffer.alloc(CONTROL_BYTES)));
  };
  const expected = alone();
  const isRepeatable = alone() === expected;

  await report.trying(`run by ${THREADS} threads at once`);
  const ready = new Int32Array(new SharedArrayBuffer(4));
  const workerData: CheckThreadData = { plugin, ...opened, size, runs: RUNS_PER_THREAD, threads: THREADS, ready };
  const replies = await Promise.all(
    Array.from({ length: THREADS }, () => {
      const worker = new Worker(new URL("./check-thread.ts", import.meta.url), { workerData });
      const { promise, resolve, reject } = Promise.withResolvers<CheckThreadReply>();
      worker.once("message", resolve);
      worker.once("error", reject);
      return promise;
    }),
  );
  const problems = replies.flatMap((reply) => reply.problems);
  const isSame = replies.every((reply) => reply.digests.every((digest) => digest === expected));
  if (problems.length === 0 && isRepeatable && !isSame) problems.push("results differ from those of one thread");
  const found = `${THREADS * RUNS_PER_THREAD} runs`;
  await report.verdict(problems, isRepeatable ? `${found}, the same results as one thread` : found);
}
