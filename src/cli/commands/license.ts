import { Command } from "commander";
import { dataDirectory } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import type { LicenseStatus, ServiceStatus } from "../../service/index.ts";
import { formatDuration } from "../format-duration.ts";
import { type DataFormat, formatError, printData, say } from "../output.ts";
import { formatFields, formatTable } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

/** `signet license`: what this host may run. All of it works beside a running server. */
export function licenseCommand(): Command {
  const command = new Command("license").description("Install and inspect this host's license.").helpCommand(false);

  command
    .command("install")
    .description("Verify a vendor's bundle and put it in the place of the installed license.")
    .argument("<bundle>", "the directory your vendor sent: license.lic, license.conf and files/")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Copies what the license names into the data directory and verifies the copy as \`signet serve\` will; a bundle that is
refused leaves the installed license as it was. The license before it is kept as license.previous. A running server
keeps its license until it is restarted; a service whose libraries or models change stops until then.

Example:
  $ signet license install bundle`,
    )
    .action(async (bundle: string, _, self: Command) => install(bundle, self.optsWithGlobals()));

  command
    .command("verify")
    .description("Take every step of first authorization, and show how far it comes.")
    .argument("[bundle]", "a bundle that is not installed yet (default: the installed license)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Changes nothing and starts no plugin. Exit code 3 when a step refuses.

Example:
  $ signet license verify bundle`,
    )
    .action(async (bundle: string | undefined, _, self: Command) => verify(bundle, self.optsWithGlobals()));

  command
    .command("status")
    .description("Show the installed license: its time, this host's match, and what is left of each service.")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Also shows a license that would be refused, and says why; \`signet license verify\` is the one that fails then. Beside
a running server the last second of use may be missing.`,
    )
    .action(async (_, self: Command) => status(self.optsWithGlobals()));

  return command;
}

async function install(bundle: string, options: GlobalOptions): Promise<void> {
  const { installBundle } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  warnOtherOwner(data);
  const { first, previous } = await installBundle(data, bundle);
  const { license, time } = first.authorized;
  const { licenseId, sequence, vendor, customer, expires, graceDays } = license;
  const services = license.services.map(({ name }) => name);
  const installed = { licenseId, sequence, vendor, customer, expires, graceDays, services, time, previous };
  printData(installed, options, () =>
    formatFields([
      ["license", `${licenseId}, sequence ${sequence}`],
      ["vendor", vendor],
      ["customer", customer],
      ["expires", describeExpiry({ expires, graceDays, time })],
      ["services", services.join(", ")],
    ]),
  );
  if (previous === null) say("Installed. Start the server with `signet serve`.");
  else say(`Installed; the license before it is ${previous}. Restart a running server to use the new one.`);
}

async function verify(bundle: string | undefined, options: GlobalOptions): Promise<void> {
  const { authorizeFirst, readHostLedger, reportSteps } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  const looked = bundle === undefined ? data : { ...data, licenseDir: bundle };
  let refusal: SignetError | null = null;
  try {
    await authorizeFirst(looked, (hostKey) => readHostLedger(data, hostKey));
  } catch (error) {
    refusal = SignetError.from(error);
  }
  const steps = reportSteps(refusal);
  printData({ license: looked.licenseDir, holds: refusal === null, steps }, options, (report) =>
    report.steps
      .map(({ step, state, code }) => `${marks[state]} ${step}${code === null ? "" : `: ${code}`}`)
      .join("\n"),
  );
  if (refusal !== null) throw refusal;
}

const marks = { passed: "✓", refused: "✗", "not reached": "·" } as const;

async function status(options: GlobalOptions): Promise<void> {
  const { readLicenseStatus } = await import("../../service/index.ts");
  const found = await readLicenseStatus(dataDirectory(options.data));
  printData(found, options, formatStatus);
  for (const { code, message } of found.problems) say(formatError("signet", new SignetError(code, message)));
}

function formatStatus(status: LicenseStatus): string {
  const { licenseId, sequence, vendor, customer, hostMatch, services } = status;
  const { matchedWeight, enrolledWeight, threshold, changedTypes } = hostMatch;
  const changed = changedTypes.length === 0 ? "" : `; changed: ${changedTypes.join(", ")}`;
  return [
    formatFields([
      ["license", `${licenseId}, sequence ${sequence}`],
      ["vendor", vendor],
      ["customer", customer],
      ["valid from", status.notBefore],
      ["expires", describeExpiry(status)],
      ["host match", `${matchedWeight} of ${enrolledWeight} points, ${threshold} needed${changed}`],
      [
        "state",
        status.problems.length === 0 ? "good" : `REFUSED: ${status.problems.map(({ code }) => code).join(", ")}`,
      ],
    ]),
    formatTable(
      ["SERVICE", "VERSION", "RUNS LEFT", "RUN TIME LEFT", "CONCURRENCY", "EXPIRES"],
      services.map(formatService),
    ),
  ].join("\n\n");
}

function formatService(service: ServiceStatus): string[] {
  const { name, version, runsLimit, runsLeft, runTimeLimitMs, runTimeLeftMs, concurrency, expires } = service;
  const duration = (ms: number) => formatDuration(ms);
  return [
    name,
    version,
    describeLeft(runsLeft, runsLimit, String),
    describeLeft(runTimeLeftMs, runTimeLimitMs, duration),
    `${concurrency}`,
    expires.slice(0, 10),
  ];
}

function describeLeft(left: number | null, limit: number | null, format: (value: number) => string): string {
  if (limit === null) return "unlimited";
  return `${left === null ? "unknown" : format(left)} of ${format(limit)}`;
}

function describeExpiry({ expires, graceDays, time }: Pick<LicenseStatus, "expires" | "graceDays" | "time">): string {
  const grace = graceDays === 0 ? "" : `, then ${graceDays} days of grace`;
  if (time === null) return `${expires}${grace}`;
  return time.phase === "valid"
    ? `${expires}, in ${time.daysLeft} days${grace}`
    : `${expires}: EXPIRED, ${time.daysLeft} days of grace left`;
}
