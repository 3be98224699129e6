import { SignetError } from "../../errors.ts";
import {
  type PluginFacts,
  type PluginProbe,
  parsePluginFacts,
  SIGNET_OK,
  SIGNET_OUT_OF_RANGE,
} from "../../plugin/index.ts";
import { failureText, textProblems } from "./check-judge.ts";
import { type CheckReport, caughtSignals } from "./check-process.ts";

/** @returns what the plugin says of itself, or null if it makes no sense */
export async function checkFacts(
  probe: PluginProbe,
  signalsBefore: bigint,
  report: CheckReport,
): Promise<PluginFacts | null> {
  const json = await checkDescribe(probe, null, "describe(NULL)", report);
  let facts: PluginFacts | null = null;
  if (json !== null) {
    await report.trying("describe(NULL) content");
    try {
      facts = parsePluginFacts(json);
      await report.ok(
        `${facts.name} ${facts.version} by ${facts.vendor}, ${facts.threading}, cancel ${facts.cancel}, ` +
          `progress ${facts.progress}, devices ${facts.devices.join(" ")}`,
      );
    } catch (error) {
      await report.fail(SignetError.from(error).message);
    }
  }
  await report.trying("signal handlers after loading");
  await report.verdict(caughtSignals() === signalsBefore ? [] : ["loading the library installed some"], "none");
  return facts;
}

/** A description asked for with no room, too little, exactly enough and plenty. Null unless the JSON came. */
export async function checkDescribe(
  probe: PluginProbe,
  instance: bigint | null,
  check: string,
  report: CheckReport,
): Promise<string | null> {
  await report.trying(`${check} with plenty of room`);
  const plenty = probe.describe(instance, 1 << 20);
  if (plenty.status !== SIGNET_OK) {
    await report.fail([failureText(plenty), ...textProblems(plenty.error, true)].join("; "));
    return null;
  }
  const problems: string[] = [];
  if (plenty.length > 1 << 20) problems.push(`reported ${plenty.length} bytes and SIGNET_OK in room for ${1 << 20}`);
  await report.verdict(problems, `${plenty.length} bytes`);
  if (problems.length > 0) return null;

  await report.trying(`${check} with too little room`);
  for (const capacity of [0, 1, plenty.length - 1]) {
    const small = probe.describe(instance, capacity);
    if (small.isOverrun) problems.push(`wrote past a capacity of ${capacity}`);
    if (small.status !== SIGNET_OUT_OF_RANGE) {
      problems.push(`expected SIGNET_OUT_OF_RANGE for a capacity of ${capacity}, found status ${small.status}`);
    } else if (small.length !== plenty.length) {
      problems.push(`said ${small.length} bytes are needed, it takes ${plenty.length}`);
    }
  }
  const exact = probe.describe(instance, plenty.length);
  if (exact.isOverrun) problems.push("wrote past a capacity that is exactly enough");
  if (exact.status !== SIGNET_OK) problems.push(`refused a capacity that is exactly enough: ${failureText(exact)}`);
  await report.verdict(problems, "SIGNET_OUT_OF_RANGE and the length needed");
  return plenty.json.toString("utf8");
}
