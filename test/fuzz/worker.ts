import { parentPort, workerData } from "node:worker_threads";
import type { Finding, Progress } from "./fuzzer.ts";
import { instrumentProduct, words } from "./instrument.ts";
import { readSeeds, writeSeeds } from "./seeds.ts";

/** The thread in which one target runs, so that an input which never comes back, or fills the memory, ends only it. */

export interface WorkerOptions {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  readonly runs: number;
  /** Whether the smallest set of inputs is written into the seeds. */
  readonly keep: boolean;
  /** Executions so far, then the length of the input that runs now, then its bytes. */
  readonly shared: SharedArrayBuffer;
}

export interface WorkerReport {
  readonly progress: Progress;
  readonly findings: readonly Finding[];
  readonly seconds: number;
}

const CHECK_TIME_EVERY = 64;
const KEPT_SEEDS = { count: 32, bytes: 12 * 1024 };

const { target: name, seed, seconds, runs, keep, shared } = workerData as WorkerOptions;
const counter = new Uint32Array(shared, 0, 2);
const current = new Uint8Array(shared, 8);

instrumentProduct();
const { targets } = await import("./targets.ts");
const { Fuzzer } = await import("./fuzzer.ts");

const target = await targets[name]!();
const fuzzer = new Fuzzer(target, {
  seed,
  words: [...words],
  announce(input) {
    current.set(input.subarray(0, current.length));
    counter[1] = input.length;
    counter[0]!++;
  },
});
const started = performance.now();
for (const input of [...target.starts, ...readSeeds(name)]) await fuzzer.try(input);
const until = started + seconds * 1000;
for (let run = 0; run < runs; run++) {
  if (run % CHECK_TIME_EVERY === 0 && performance.now() > until) break;
  await fuzzer.step();
}
target.close?.();
if (keep && target.isWhole !== true) writeSeeds(name, fuzzer.bestInputs(KEPT_SEEDS));
const report: WorkerReport = {
  progress: fuzzer.progress,
  findings: fuzzer.findings,
  seconds: (performance.now() - started) / 1000,
};
parentPort!.postMessage(report);
