import { Command } from "commander";
import { dataDirectory } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import type { LicenseStatus, ServiceStatus, StepReport } from "../../service/index.ts";
import { formatDuration } from "../format-duration.ts";
import { type DataFormat, formatError, printData, say } from "../output.ts";
import { plural } from "../plural.ts";
import { recordCommand } from "../record-command.ts";
import { formatFields, formatTable } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";
import { describeRefused, warnRefusedServices } from "../warn-refused-services.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

interface VerificationReport {
  /** The directory that was looked at. */
  readonly license: string;
  /** null where no pinned vendor signed it, as the two below. */
  readonly licenseId: string | null;
  readonly sequence: number | null;
  readonly customer: string | null;
  readonly holds: boolean;
  /** Empty where something failed that is no step, such as reading a file. */
  readonly steps: readonly StepReport[];
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
Copies what the license names into the data directory and verifies the copy as
\`signet serve\` will; a bundle that is refused leaves the installed license as
it was. The license before it is kept as license.previous. A running server
takes it over within seconds, without a restart and without ending a call;
\`signet license status\` says when it has.

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
Also shows a license that would be refused, and says why; \`signet license
verify\` is the one that fails then. Every licensed file is hashed, which takes
seconds where models have gigabytes. Beside a running server the last second of
use may be missing.`,
    )
    .action(async (_, self: Command) => status(self.optsWithGlobals()));

  command
    .command("deactivate")
    .description("Give the installed license back for good, to move it to another host.")
    .requiredOption("--out <file>", "where to write the receipt for your vendor; nothing is ever overwritten")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
From then on this host refuses the license, its renewals included, and nothing
takes that back. Your vendor issues what is left of it for another host against
the receipt. Stop the server first. A lost receipt is made again by the same
command.

Example:
  $ signet license deactivate --out receipt.pem`,
    )
    .action(async (_, self: Command) => deactivate(self.optsWithGlobals()));

  return command;
}

async function install(bundle: string, options: GlobalOptions): Promise<void> {
  const { installBundle, readServingState, serviceRefusal } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  warnOtherOwner(data);
  const { first, previous } = await installBundle(data, bundle).catch(async (error: unknown) => {
    const { code, message } = SignetError.from(error);
    await recordCommand(data, { event: "license.refused", code, detail: { bundle, message } });
    throw error;
  });
  const { license, time } = first.authorized;
  const { licenseId, sequence, kind, vendor, customer, expires, graceDays } = license;
  const services = license.services.map(({ name }) => name);
  const refused = license.services.map((service) => {
    return { name: service.name, refusal: serviceRefusal(license, service, first.ledger, Date.now()) };
  });
  const installed = { licenseId, sequence, kind, vendor, customer, expires, graceDays, services, time, previous };
  await recordCommand(data, { event: "license.installed", detail: { licenseId, sequence, vendor, expires, services } });
  printData(installed, options, () =>
    formatFields([
      ["license", describeNumber({ licenseId, sequence, kind })],
      ["vendor", vendor],
      ["customer", customer],
      ["expires", describeExpiry({ expires, graceDays, time })],
      ["services", services.join(", ")],
    ]),
  );
  if (previous === null) say("Installed. Start the server with `signet serve`.");
  else say(`Installed; the license before it is ${previous}.`);
  if (readServingState(data) !== null) {
    say("The running server takes it over within seconds; `signet license status` says when it has.");
  }
  warnRefusedServices(refused);
}

async function verify(bundle: string | undefined, options: GlobalOptions): Promise<void> {
  const { authorizeFirst, readHostLedger, readInstalledLicense, reportSteps } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  const looked = bundle === undefined ? data : { ...data, licenseDir: bundle };
  // Only to say whose license this is; what is wrong with it is for the steps to say.
  const license = (await readInstalledLicense(looked).catch(() => null))?.license;
  let refusal: SignetError | null = null;
  try {
    await authorizeFirst(looked, (hostKey) => readHostLedger(data, hostKey));
  } catch (error) {
    refusal = SignetError.from(error);
  }
  const report: VerificationReport = {
    license: looked.licenseDir,
    licenseId: license?.licenseId ?? null,
    sequence: license?.sequence ?? null,
    customer: license?.customer ?? null,
    holds: refusal === null,
    steps: reportSteps(refusal),
  };
  printData(report, options, formatReport);
  if (refusal !== null) throw refusal;
}

async function deactivate(options: GlobalOptions & { readonly out: string }): Promise<void> {
  const { createFile } = await import("../../license/index.ts");
  const { deactivateLicense } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  await verifyAbsent(options.out);
  warnOtherOwner(data);
  const { license, receipt, totals } = await deactivateLicense(data);
  await createFile(options.out, receipt, 0o644);
  const { licenseId, sequence, vendor } = license;
  await recordCommand(data, { event: "license.deactivated", detail: { licenseId, sequence } });
  printData({ licenseId, sequence, vendor, receipt: options.out, totals }, options, () =>
    formatFields([
      ["license", `${licenseId}, given back`],
      ["receipt", options.out],
      ...Object.entries(totals).map(
        ([name, { runs, runTimeMs }]) => [name, `${plural(runs, "run")}, ${formatDuration(runTimeMs)}`] as const,
      ),
    ]),
  );
  say(`Send ${options.out} to ${vendor}, with the new host's \`signet host request\`.`);
}

/** Before anything is given back. */
async function verifyAbsent(path: string): Promise<void> {
  const { lstat } = await import("node:fs/promises");
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined) throw new SignetError("FILE_EXISTS", `${path}: is already there`);
}

const marks = { passed: "✓", refused: "✗", "not reached": "·" } as const;

function formatReport({ license, licenseId, sequence, customer, holds, steps }: VerificationReport): string {
  return [
    formatFields([
      ["bundle", license],
      ["license", licenseId === null ? null : `${licenseId}, sequence ${sequence}`],
      ["customer", customer],
    ]),
    steps.map(({ step, state, code }) => `${marks[state]} ${step}${code === null ? "" : `: ${code}`}`).join("\n"),
    holds ? "good: first authorization passes" : "refused: first authorization does not pass",
  ]
    .filter((paragraph) => paragraph !== "")
    .join("\n\n");
}

async function status(options: GlobalOptions): Promise<void> {
  const { readLicenseStatus } = await import("../../service/index.ts");
  const found = await readLicenseStatus(dataDirectory(options.data));
  const { DRIFT_NEXT, describePoints } = await import("../../license/index.ts");
  printData(found, options, (shown) => formatStatus(shown, describePoints(shown.hostMatch)));
  if (found.drift !== null) say(`${found.drift}. ${DRIFT_NEXT}`);
  for (const warning of found.warnings) say(`${warning}.`);
  if (found.warnings.length > 0) say("To renew, send a fresh `signet host request` to your vendor.");
  for (const { code, message } of found.problems) say(formatError("signet", new SignetError(code, message)));
  // A license that is refused refuses every service; its problems were just told.
  if (found.problems.length === 0) warnRefusedServices(found.services);
}

function formatStatus(status: LicenseStatus, hostMatch: string): string {
  const { licenseId, sequence, kind, vendor, customer, services } = status;
  return [
    formatFields([
      ["license", describeNumber({ licenseId, sequence, kind })],
      ["vendor", vendor],
      ["customer", customer],
      ["valid from", status.notBefore],
      ["expires", describeExpiry(status)],
      ["enforcement", status.enforcement],
      ["host match", hostMatch],
      ["state", describeState(status)],
      ["in force", describeServing(status)],
    ]),
    formatTable(
      ["SERVICE", "VERSION", "RUNS LEFT", "TIME LEFT", "OF", "AT ONCE", "EXPIRES"],
      services.map(formatService),
    ),
  ].join("\n\n");
}

function describeNumber({ licenseId, sequence, kind }: Pick<LicenseStatus, "licenseId" | "sequence" | "kind">): string {
  return `${licenseId}, sequence ${sequence}${kind === "trial" ? ", a TRIAL" : ""}`;
}

/** What a running server goes by; null where none runs. */
function describeServing({ licenseId, sequence, serving }: LicenseStatus): string | null {
  if (serving === null) return null;
  const since = `since ${serving.since}`;
  const isInstalled = serving.licenseId === licenseId && serving.sequence === sequence;
  const present = isInstalled
    ? `this license, ${since}`
    : `${serving.licenseId}, sequence ${serving.sequence}, ${since}`;
  if (serving.refused === null) return present;
  const { code } = serving.refused;
  // What is taken away stops at once; any other refusal leaves what is in force.
  if (isInstalled && (code === "LICENSE_REVOKED" || code === "LICENSE_UNTRUSTED")) return `none, STOPPED: ${code}`;
  return `${present}; what is installed was REFUSED: ${code}`;
}

function describeState({ problems, services }: LicenseStatus): string {
  if (problems.length > 0) return `REFUSED: ${[...new Set(problems.map(({ code }) => code))].join(", ")}`;
  const refused = describeRefused(services);
  return refused.length === 0 ? "good" : `good, but ${refused.join(", ")}`;
}

function formatService(service: ServiceStatus): string[] {
  const { name, version, runsLimit, runsLeft, runTimeLimitMs, runTimeLeftMs, concurrency, expires } = service;
  const runs = runsLimit === null ? "unlimited" : `${runsLeft ?? "unknown"} of ${runsLimit}`;
  const time =
    runTimeLimitMs === null
      ? ["unlimited", ""]
      : [runTimeLeftMs === null ? "unknown" : formatDuration(runTimeLeftMs), formatDuration(runTimeLimitMs)];
  return [name, version, runs, ...time, `${concurrency}`, expires.slice(0, 10)];
}

function describeExpiry({ expires, graceDays, time }: Pick<LicenseStatus, "expires" | "graceDays" | "time">): string {
  const grace = graceDays === 0 ? "" : `, then ${plural(graceDays, "day")} of grace`;
  if (time === null) return `${expires}${grace}`;
  if (time.phase === "expired") return `${expires}: EXPIRED`;
  return time.phase === "valid"
    ? `${expires}, in ${plural(time.daysLeft, "day")}${grace}`
    : `${expires}: EXPIRED, ${plural(time.daysLeft, "day")} of grace left`;
}
