import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { formatReports, type TargetReport } from "./format-reports.ts";
import { targets } from "./targets.ts";
import type { WorkerOptions, WorkerReport } from "./worker.ts";

/** `npm run fuzz`: gives every reader of untrusted bytes as many strange inputs as the time allows. */

const usage = `npm run fuzz -- [--target NAME]... [--seconds S] [--runs N] [--seed N] [--keep]

  --target   only this target; all of them when left out
  --seconds  how long each may take (default 10; no limit with --runs alone)
  --runs     how many inputs each gets
  --seed     the same seed makes the same changes (default: the time)
  --keep     write the inputs that reach most into test/fuzz/seeds

targets: ${Object.keys(targets).join(" ")}`;

const findingsFolder = join(import.meta.dirname, "..", "..", "build", "fuzz");
const HANG_MS = 30_000;
const MAX_INPUT = 1 << 16;

async function fuzz(options: Omit<WorkerOptions, "shared">): Promise<TargetReport> {
  const shared = new SharedArrayBuffer(8 + MAX_INPUT);
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: { ...options, shared },
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
  const { promise, resolve } = Promise.withResolvers<WorkerReport | string>();
  worker.once("message", resolve);
  worker.once("error", (error) => resolve(`ended by ${error instanceof Error ? error.stack : error}`));
  worker.once("exit", (code) => resolve(`ended with ${code}`));
  const counter = new Uint32Array(shared, 0, 2);
  let before = -1;
  const watch = setInterval(() => {
    if (counter[0] === before && before > 0) resolve(`did not come back within ${HANG_MS / 1000} s`);
    before = counter[0]!;
  }, HANG_MS);
  const ended = await promise;
  clearInterval(watch);
  await worker.terminate();
  if (typeof ended !== "string") return { name: options.target, ...ended };
  const input = Buffer.from(new Uint8Array(shared, 8, Math.min(counter[1]!, MAX_INPUT)));
  return { name: options.target, findings: [{ words: ended, input }], seconds: 0, progress: undefined };
}

function save({ name, findings }: TargetReport): string[] {
  if (findings.length > 0) mkdirSync(findingsFolder, { recursive: true });
  return findings.map(({ words, input }, index) => {
    const file = join(findingsFolder, `${name}-${index + 1}`);
    writeFileSync(file, input);
    return `${name}: ${words}\n  input in ${file} (${input.length} bytes)`;
  });
}

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    seconds: { type: "string" },
    runs: { type: "string" },
    seed: { type: "string" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const chosen = values.target ?? Object.keys(targets);
const unknown = chosen.find((name) => !Object.hasOwn(targets, name));
const runs = Number(values.runs ?? Number.POSITIVE_INFINITY);
const seconds = Number(values.seconds ?? (values.runs === undefined ? 10 : Number.POSITIVE_INFINITY));
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (values.help || unknown !== undefined || !(runs > 0 && seconds > 0 && Number.isInteger(seed))) {
  console.error(unknown === undefined ? usage : `there is no target ${unknown}\n\n${usage}`);
  process.exit(values.help ? 0 : 2);
}

const reports: TargetReport[] = [];
for (const target of chosen) {
  console.error(`fuzzing ${target}`);
  reports.push(await fuzz({ target, seed, seconds, runs, keep: values.keep }));
}
console.log(formatReports(reports));
console.log(`seed ${seed}`);
const findings = reports.flatMap(save);
for (const finding of findings) console.log(`\n${finding}`);
process.exitCode = findings.length > 0 ? 1 : 0;
