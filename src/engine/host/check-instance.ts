import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../../errors.ts";
import {
  type InstanceFacts,
  type PluginProbe,
  type ProbeModel,
  parseInstanceFacts,
  SIGNET_OK,
} from "../../plugin/index.ts";
import { checkDescribe } from "./check-describe.ts";
import { failureText, textProblems } from "./check-judge.ts";
import { type CheckReport, caughtSignals, ownMemoryBytes, threadCount } from "./check-process.ts";

export interface OpenedInstance extends InstanceFacts {
  readonly instance: bigint;
}

/** Makes the instance that a scenario is about; an earlier scenario has shown that it works. */
export function openInstance(probe: PluginProbe, configText: string, models: readonly ProbeModel[]): OpenedInstance {
  const { status, instance, error } = probe.create(configText, models, 512);
  if (status !== SIGNET_OK || instance === null) {
    throw new SignetError("SERVICE_START_FAILED", `create: ${failureText({ status, error })}`);
  }
  return { instance, ...parseInstanceFacts(probe.describe(instance, 1 << 20).json.toString("utf8")) };
}

/** @returns true if there is an instance that can be run */
export async function checkInstance(
  probe: PluginProbe,
  configText: string,
  models: readonly ProbeModel[],
  report: CheckReport,
): Promise<boolean> {
  await report.trying("create");
  const threadsBefore = threadCount();
  const signalsBefore = caughtSignals();
  const created = probe.create(configText, models, 512);
  const problems = textProblems(created.error, created.status !== SIGNET_OK);
  if (created.status !== SIGNET_OK || created.instance === null) {
    const what = created.status === SIGNET_OK ? "returned SIGNET_OK and no instance" : failureText(created);
    await report.fail([what, ...problems].join("; "));
    return false;
  }
  const given = models.length === 1 ? "with 1 model file" : `with ${models.length || "no"} model files`;
  await report.verdict(problems, given);
  const { instance } = created;
  const isDescribed = await checkInstanceFacts(probe, instance, report);
  await checkWarmup(probe, instance, report);

  await report.trying("a second instance beside the first");
  const second = probe.create(configText, models, 512);
  if (second.status === SIGNET_OK && second.instance !== null) {
    probe.destroy(second.instance);
    const stillThere = probe.describe(instance, 1 << 20).status === SIGNET_OK;
    await report.verdict(stillThere ? [] : ["destroying it broke the first"], "made and destroyed");
  } else {
    await report.fail(failureText(second));
  }

  await report.trying("destroy");
  probe.destroy(instance);
  await report.ok("returned");
  await report.trying("threads after destroy");
  // A thread that was joined may be listed a moment longer.
  for (let wait = 0; wait < 20 && threadCount() > threadsBefore; wait++) await sleep(50);
  const left = threadCount() - threadsBefore;
  await (left > 0 ? report.warn(`${left} more than before create`) : report.ok("all gone"));
  await report.trying("signal handlers after create");
  await report.verdict(caughtSignals() === signalsBefore ? [] : ["create, warmup or destroy installed some"], "none");
  return isDescribed;
}

async function checkInstanceFacts(probe: PluginProbe, instance: bigint, report: CheckReport): Promise<boolean> {
  const json = await checkDescribe(probe, instance, "describe(instance)", report);
  if (json === null) return false;
  await report.trying("describe(instance) content");
  try {
    const { inputs, outputs } = parseInstanceFacts(json);
    const format = (specs: InstanceFacts["inputs"]) =>
      specs.map(({ name, datatype, shape }) => `${name} ${datatype}[${shape}]`).join(", ") || "nothing";
    await report.ok(`${format(inputs)} to ${format(outputs)}`);
    return true;
  } catch (error) {
    await report.fail(SignetError.from(error).message);
    return false;
  }
}

async function checkWarmup(probe: PluginProbe, instance: bigint, report: CheckReport): Promise<void> {
  if (!probe.hasWarmup) return;
  await report.trying("warmup");
  const { status, error } = probe.warmup(instance);
  const problems = textProblems(error, status !== SIGNET_OK);
  await report.verdict(status === SIGNET_OK ? problems : [failureText({ status, error }), ...problems], "done");
}

const WARM_ROUNDS = 3;
const MAX_ROUNDS = 30;
const MEMORY_BUDGET_MS = 3_000;
/** Allocators keep some of what is freed: that much in all, or that much a round, is no growth. */
const KEPT_BYTES = 4 << 20;
const KEPT_PER_ROUND_BYTES = 128 << 10;

export async function checkMemory(
  probe: PluginProbe,
  configText: string,
  models: readonly ProbeModel[],
  report: CheckReport,
): Promise<void> {
  await report.trying("memory after create and destroy");
  const round = () => {
    const { instance } = probe.create(configText, models, 512);
    if (instance !== null) probe.destroy(instance);
  };
  for (let warm = 0; warm < WARM_ROUNDS; warm++) round();
  const before = ownMemoryBytes();
  const until = performance.now() + MEMORY_BUDGET_MS;
  let rounds = 0;
  while (rounds < MAX_ROUNDS && (rounds < WARM_ROUNDS || performance.now() < until)) {
    round();
    rounds++;
  }
  const grown = Math.max(0, ownMemoryBytes() - before);
  const limit = Math.max(KEPT_BYTES, rounds * KEPT_PER_ROUND_BYTES);
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  const found = `${mib(grown)} MiB more after ${rounds} rounds, at most ${mib(limit)} expected`;
  await (grown > limit ? report.warn(found) : report.ok(found));
}
