import { Command } from "commander";
import { dataDirectory } from "../../config/index.ts";
import type { DoctorFinding } from "../../service/index.ts";
import { formatFindings, paintFindings } from "../format-findings.ts";
import { type DataFormat, printData, say } from "../output.ts";

interface DoctorOptions extends DataFormat {
  readonly data?: string;
  readonly config?: string;
}

/** `signet doctor`: everything that somebody who helps would ask, in one go. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Look at everything that could be wrong, and say what to do about it.")
    .helpCommand(false)
    .option("--config <file>", "the configuration (default: signet.yaml in the data directory)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examines license, host, clock, ledger, libraries, GPU, access, port, files,
disk, kernel, Node and systemd's unit, all of it rather than up to the first
thing that is wrong. It changes nothing, starts no plugin, runs no program of
the system and works beside a running server. For an instant it listens on the
configured port if that is free.

Safe to paste into a ticket: no serial numbers, tokens, keys, names of people,
hosts or addresses. ok: as it should be; note: works, but you should know;
problem: does not work, or will not for long. Ends with 1 if there is a problem.

Run it as the user that the server runs as.

Example:
  $ signet doctor > findings.txt`,
    )
    .action(async (_, self: Command) => doctor(self.optsWithGlobals()));
}

async function doctor(options: DoctorOptions): Promise<void> {
  const { askHealth } = await import("../../grpc/index.ts");
  const { openTls } = await import("../../listener/index.ts");
  const { examine } = await import("../../service/index.ts");
  const findings = await examine({
    data: dataDirectory(options.data),
    configFile: options.config,
    edge: { askHealth, verifyTls: openTls },
  });
  const count = (level: DoctorFinding["level"]) => findings.filter((finding) => finding.level === level).length;
  const summary = { ok: count("ok"), note: count("note"), problem: count("problem") };
  printData({ summary, findings }, options, () => formatFindings(findings), paintFindings);
  say(`${summary.ok} ok, ${summary.note} notes, ${summary.problem} problems.`);
  if (summary.problem > 0) process.exitCode = 1;
}
