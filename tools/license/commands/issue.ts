import { basename, join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { type DataFormat, formatFields, plural, printData, say } from "../../../src/cli/index.ts";
import { inFile, SignetError } from "../../../src/errors.ts";
import type { License } from "../../../src/license/index.ts";
import type { LicenseNumber } from "../issue-license.ts";
import { verifyAbsent } from "../new-directory.ts";
import { readPassphrase } from "../passphrase.ts";
import { readInput } from "../read-input.ts";
import { loadServiceDescription } from "../service-description.ts";
import { usageNotes } from "../usage-notes.ts";
import { openVendorDirectory, type VendorDirectory } from "../vendor-directory.ts";

interface IssueOptions extends DataFormat {
  readonly request: string;
  readonly services: string;
  readonly vendor: string;
  readonly out: string;
  readonly acceptWeak?: boolean;
  readonly renew?: string;
  readonly licenseId?: string;
  readonly sequence?: number;
  readonly passphraseFile?: string;
}

/** `signet-license issue`: from a host's request and a description of services to a bundle for that host. */
export function issueCommand(): Command {
  return new Command("issue")
    .description("Issue a license for a host and make the bundle to copy there.")
    .requiredOption("--request <file>", "host.req, made on the host by `signet host request`")
    .requiredOption("--services <file>", "services.yaml: what may run, with which files and limits")
    .requiredOption("--vendor <directory>", "the vendor's keys, made by `signet-license vendor init`")
    .requiredOption("--out <directory>", "the new bundle; nothing is ever overwritten")
    .option("--accept-weak", "issue although the host's hardware cannot be told from a copy's")
    .option("--renew <license>", "the host's present license.lic; the new one replaces it")
    .option("--license-id <uuid>", "renew without the old file: its license id, with --sequence", parseLicenseId)
    .option("--sequence <number>", "renew without the old file: a number above its sequence", parseSequence)
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Copies every file into the bundle, asks each plugin for its tensors, signs, and
checks the result as the server will. When anything fails nothing is left
behind.

Example:
  $ signet-license issue --request host.req --services services.yaml \\
      --vendor acme --out bundle`,
    )
    .action(async (options: IssueOptions) => issue(options));
}

async function issue(options: IssueOptions): Promise<void> {
  // Loaded only here: with it come the plugin and engine parts, which --help and inspect do without.
  const { issueLicense, parseAcceptable } = await import("../issue-license.ts");
  const now = new Date();
  const acceptWeak = options.acceptWeak === true;
  const request = await readInput(options.request);
  // Before a passphrase is asked for that would be of no use.
  await verifyAbsent(options.out);
  const parsed = inFile(options.request, () => parseAcceptable(request, acceptWeak));
  const description = await loadServiceDescription(options.services, now);
  const passphrase = await readPassphrase({ file: options.passphraseFile, isNew: false });
  const vendor = await openVendorDirectory(options.vendor, passphrase);
  const number = await chooseNumber(options, vendor, request);
  const license = await issueLicense({ request, description, vendor, number, acceptWeak, out: options.out, now });
  printData({ ...summary(license), bundle: options.out }, options, (data) =>
    formatFields([
      ["license", `${data.licenseId}, sequence ${data.sequence}`],
      ["customer", data.customer],
      ["valid from", data.notBefore],
      ["expires", `${data.expires}, then ${plural(data.graceDays, "day")} of grace`],
      ["services", data.services.join(", ")],
      ["bundle", data.bundle],
    ]),
  );
  const isRenewal = options.renew !== undefined || options.licenseId !== undefined;
  for (const note of usageNotes(license, parsed, isRenewal)) say(note);
  const name = basename(resolve(options.out));
  say(`Copy ${options.out} to the host and run \`signet license install ${name}\` there, where it was copied to.`);
  say(`Keep a copy of ${join(options.out, "license.lic")}: --renew takes it when the license is renewed.`);
}

async function chooseNumber(options: IssueOptions, vendor: VendorDirectory, request: Buffer): Promise<LicenseNumber> {
  const { createLicenseNumber, nextLicenseNumber } = await import("../issue-license.ts");
  const { renew, licenseId, sequence } = options;
  if (renew !== undefined) {
    if (licenseId !== undefined || sequence !== undefined) {
      throw new SignetError("USAGE", "--renew takes the license id and sequence from the file; leave the others out");
    }
    const previous = await readInput(renew);
    return inFile(renew, () => nextLicenseNumber(previous, vendor, request));
  }
  if (licenseId === undefined && sequence === undefined) return createLicenseNumber();
  if (licenseId === undefined || sequence === undefined) {
    throw new SignetError("USAGE", "--license-id and --sequence are given together or not at all");
  }
  return { licenseId, sequence };
}

function summary({ licenseId, sequence, customer, notBefore, expires, graceDays, services }: License) {
  const names = services.map(({ name }) => name);
  return { licenseId, sequence, customer, notBefore, expires, graceDays, services: names };
}

function parseLicenseId(text: string): string {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a UUID in lower case.");
}

function parseSequence(text: string): number {
  const value = /^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected a whole number of 1 or more.");
}
