import { SignetError } from "../../errors.ts";
import {
  closeSandbox,
  dieWithParent,
  exitNow,
  loadPlugin,
  openModel,
  type PluginFacts,
  PluginProbe,
  parsePluginFacts,
} from "../../plugin/index.ts";
import type { CheckTask, ScenarioResult } from "../check-protocol.ts";
import { CHANNEL_FD } from "../protocol.ts";
import { checkFacts } from "./check-describe.ts";
import { checkInstance, checkMemory, openInstance } from "./check-instance.ts";
import { CheckReport, caughtSignals, receiveTask, tell } from "./check-process.ts";
import { checkRefusal } from "./check-refusal.ts";
import { checkEmpty, checkRun, checkStop, checkThreads } from "./check-run.ts";

/**
 * The program of one child of `signet plugin check`: one scenario, then the end. Whatever the plugin does to
 * this process, the parent knows from the last message what was being tried.
 */

async function perform(task: CheckTask, report: CheckReport): Promise<Partial<ScenarioResult>> {
  const { scenario } = task;
  const signals = caughtSignals();
  await report.trying("loading from sealed memory");
  const plugin = await load(task, report);
  if (plugin === null) return {};
  const probe = new PluginProbe(plugin);
  const facts = scenario.name === "facts" ? await checkFacts(probe, signals, report) : factsOf(probe);
  if (facts === null) return {};
  const models = task.files.filter((file) => file.role === "model").map(openModel);
  const open = () => openInstance(probe, task.configText, models);
  await report.trying(scenario.name);
  switch (scenario.name) {
    case "facts":
      return { isUsable: true, facts };
    case "refusal":
      await checkRefusal(probe, task, scenario, report);
      break;
    case "instance":
      return { isUsable: await checkInstance(probe, task.configText, models, report) };
    case "run":
      return { isUsable: true, size: await checkRun(probe, open(), facts, report) };
    case "empty":
      await checkEmpty(probe, open(), report);
      break;
    case "stop":
      await checkStop(probe, open(), scenario.size, report);
      break;
    case "threads":
      await checkThreads(probe, plugin, open(), scenario.size, report);
      break;
    case "memory":
      await checkMemory(probe, task.configText, models, report);
      break;
  }
  return { isUsable: true };
}

/** The address of the function table, or null after saying why there is none. */
async function load(task: CheckTask, report: CheckReport): Promise<bigint | null> {
  try {
    const plugin = loadPlugin(task.files);
    if (task.scenario.name === "facts") {
      await report.ok(
        task.files
          .filter((file) => file.role !== "model")
          .map((file) => file.name)
          .join(", then "),
      );
      await report.trying("entry point");
      const { warmup } = plugin.functions;
      await report.ok(`ABI 1, all required functions, ${warmup ? "with" : "without"} warmup`);
    }
    return plugin.address;
  } catch (error) {
    const { code, message } = SignetError.from(error);
    if (code === "PLUGIN_INCOMPATIBLE") {
      await report.ok("loaded");
      await report.trying("entry point");
    }
    await report.fail(message);
    return null;
  }
}

function factsOf(probe: PluginProbe): PluginFacts {
  return parsePluginFacts(probe.describe(null, 1 << 20).json.toString("utf8"));
}

// A check that is interrupted must leave nothing behind, also where the plugin never returns.
dieWithParent(CHANNEL_FD);
// A vendor sees here what the plugin may not do there.
closeSandbox();
const task = await receiveTask();
const report = new CheckReport();
let result: Partial<ScenarioResult> = {};
try {
  result = await perform(task, report);
} catch (error) {
  await report.fail((error as Error).message);
}
await tell({ type: "end", isUsable: false, size: null, facts: null, ...result });
exitNow(0);
