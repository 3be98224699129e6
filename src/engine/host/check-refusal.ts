import { openModel, type PluginProbe, SIGNET_OK, spoilModel } from "../../plugin/index.ts";
import type { CheckTask, Scenario } from "../check-protocol.ts";
import { failureText, textProblems } from "./check-judge.ts";
import type { CheckReport } from "./check-process.ts";

/** create() with what it cannot accept: it has to say so in words, and leave nothing behind. */
export async function checkRefusal(
  probe: PluginProbe,
  task: CheckTask,
  scenario: Extract<Scenario, { name: "refusal" }>,
  report: CheckReport,
): Promise<void> {
  await report.trying(scenario.check);
  const files = task.files.filter((file) => file.role === "model");
  const models =
    scenario.spoiling === null ? files.map(openModel) : files.map((file) => spoilModel(file, scenario.spoiling!));
  const refused = probe.create(scenario.configText, models, 512);
  if (refused.status === SIGNET_OK) {
    if (refused.instance !== null) probe.destroy(refused.instance);
    await report.warn("accepted it");
    return;
  }
  const problems = textProblems(refused.error, true);
  if (refused.instance !== null) problems.push("failed and left an instance set");
  // As little room as a caller might have: what was cut must still end.
  const cut = probe.create(scenario.configText, models, 8);
  if (cut.status !== SIGNET_OK) problems.push(...textProblems(cut.error, false));
  if (cut.status !== SIGNET_OK && !cut.error.isTerminated) problems.push("left a short error buffer without a NUL");
  await report.verdict(problems, failureText(refused));
}
