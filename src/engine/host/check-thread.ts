import { parentPort, workerData } from "node:worker_threads";
import { CONTROL_BYTES, PluginProbe, SIGNET_OK } from "../../plugin/index.ts";
import type { OpenedInstance } from "./check-instance.ts";
import { digestOf, failureText, runProblems } from "./check-judge.ts";
import { roomsFor, zeroInputs } from "./check-tensors.ts";

export interface CheckThreadData extends OpenedInstance {
  /** Address of the function table, the same in every thread. */
  readonly plugin: bigint;
  readonly size: number;
  readonly runs: number;
  readonly threads: number;
  /** Counts the threads that are ready, so that none has finished before another begins. */
  readonly ready: Int32Array;
}

export interface CheckThreadReply {
  readonly problems: readonly string[];
  readonly digests: readonly string[];
}

const { plugin, instance, inputs, outputs, size, runs, threads, ready } = workerData as CheckThreadData;
const probe = new PluginProbe(plugin);
const problems: string[] = [];
const digests: string[] = [];

for (let arrived = Atomics.add(ready, 0, 1) + 1; arrived < threads; arrived = Atomics.load(ready, 0)) {
  Atomics.wait(ready, 0, arrived);
}
Atomics.notify(ready, 0);
for (let turn = 0; turn < runs; turn++) {
  const run = probe.run(instance, zeroInputs(inputs, size)!, roomsFor(outputs), Buffer.alloc(CONTROL_BYTES));
  problems.push(...(run.status === SIGNET_OK ? runProblems(run, outputs) : [failureText(run)]));
  digests.push(digestOf(run));
}
parentPort!.postMessage({ problems, digests } satisfies CheckThreadReply);
