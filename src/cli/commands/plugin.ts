import { Command, InvalidArgumentError } from "commander";
import type { Finding } from "../../engine/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { plural } from "../plural.ts";
import { formatTable } from "../text-layout.ts";

interface CheckOptions extends DataFormat {
  readonly dependency?: string[];
  readonly model?: string[];
  readonly config?: Record<string, unknown>;
  readonly timeout: number;
}

/** `signet plugin`: for whoever writes one. */
export function pluginCommand(): Command {
  const command = new Command("plugin").description("Examine native inference plugins.").helpCommand(false);

  command
    .command("check")
    .description("Walk a library through the plugin contract and print what was found.")
    .argument("<library>", "the plugin, a shared library")
    .option("--dependency <file...>", "libraries it needs that are not part of the system")
    .option("--model <file...>", "model files for its create()")
    .option("--config <json>", "configuration for its create(), a JSON object", parseConfig)
    .option("--timeout <seconds>", "how long one call may take before it counts as hanging", parseSeconds, 60)
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(async (library: string, options: CheckOptions) => check(library, options));

  return command;
}

const help = `
Each part runs in a process of its own, so a plugin that crashes or hangs is a
finding and not the end. Nothing is licensed or installed. ok: as the contract
says; warn: allowed but unwise; fail: breaks the contract; skip: could not be
tried, and why. Ends with 1 if anything failed.

Example:
  $ signet plugin check libsignet_onnxruntime.so \\
      --dependency libonnxruntime.so.1 --model model.onnx`;

async function check(library: string, options: CheckOptions): Promise<void> {
  const { checkPlugin } = await import("../../engine/index.ts");
  const findings = await checkPlugin({
    library,
    dependencies: options.dependency ?? [],
    models: options.model ?? [],
    config: options.config ?? {},
    tryTimeoutMs: options.timeout * 1000,
  });
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  const summary = { ok: count("ok"), warn: count("warn"), fail: count("fail"), skip: count("skip") };
  printData({ library, summary, findings }, options, () =>
    formatTable(
      ["", "CHECK", "FOUND"],
      findings.map(({ level, check: what, found }) => [level, what, found]),
    ),
  );
  const { ok, warn, fail, skip } = summary;
  say(`${ok} ok, ${plural(warn, "warning")}, ${plural(fail, "failure")}, ${skip} not tried.`);
  if (summary.fail > 0) process.exitCode = 1;
}

function parseConfig(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("Expected JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidArgumentError("Expected a JSON object.");
  }
  return value as Record<string, unknown>;
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw new InvalidArgumentError("Expected a number of seconds above 0.");
  return seconds;
}
