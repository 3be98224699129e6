import { basename, join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { type DataFormat, formatFields, plural, printData, say } from "../../../src/cli/index.ts";
import { inFile, SignetError } from "../../../src/errors.ts";
import type { License } from "../../../src/license/index.ts";
import type { LicenseNumber } from "../issue-license.ts";
import { verifyAbsent } from "../new-directory.ts";
import { readInput } from "../read-input.ts";
import type { Register } from "../register.ts";
import { loadServiceDescription } from "../service-description.ts";
import { readUnlock, type SigningOptions } from "../signing-options.ts";
import { usageNotes } from "../usage-notes.ts";
import { openVendorDirectory, type VendorDirectory } from "../vendor-directory.ts";

interface IssueOptions extends DataFormat, SigningOptions {
  readonly request: string;
  readonly services: string;
  readonly vendor: string;
  readonly out: string;
  readonly acceptWeak?: boolean;
  readonly renew?: string;
  readonly licenseId?: string;
  readonly sequence?: number;
  readonly movedFrom?: string;
  readonly acceptRollback?: string;
}

/** Time enough to fetch the root's key from where it is kept. */
const ROTATION_NOTICE_MS = 60 * 24 * 3600 * 1000;

/** `signet-license issue`: from a host's request and a description of services to a bundle for that host. */
export function issueCommand(): Command {
  return new Command("issue")
    .description("Issue a license for a host and make the bundle to copy there.")
    .requiredOption("--request <file>", "host.req, made on the host by `signet host request`")
    .requiredOption("--services <file>", "services.yaml: what may run, with which files and limits")
    .requiredOption("--vendor <directory>", "the vendor's keys, made by `signet-license vendor init`")
    .requiredOption("--out <directory>", "the new bundle; nothing is ever overwritten")
    .option("--accept-weak", "issue although the host's hardware cannot be told from a copy's")
    .option("--renew <license>", "the host's present license.lic, or its license id; the new one replaces it")
    .option("--license-id <uuid>", "renew without the old file: its license id, with --sequence", parseLicenseId)
    .option("--sequence <number>", "renew without the old file: a number above its sequence", parseSequence)
    .option("--moved-from <receipt>", "the old host's deactivation receipt; what is left there goes on here")
    .option("--accept-rollback <reason>", "issue although the host's ledger went backwards; the reason is recorded")
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked)")
    .option("--signer-cmd <command>", "sign by a command: bytes on its stdin, a base64 signature on its stdout")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Copies every file into the bundle, asks each plugin for its tensors, signs,
checks the result as the server will, and writes it into the vendor's register.
When anything fails nothing is left behind.

Example:
  $ signet-license issue --request host.req --services services.yaml \\
      --vendor acme --out bundle`,
    )
    .action(async (options: IssueOptions) => issue(options));
}

async function issue(options: IssueOptions): Promise<void> {
  // Loaded only here: with it come the plugin and engine parts, which --help and inspect do without.
  const { issueRegistered } = await import("../issue-registered.ts");
  const { parseAcceptable } = await import("../issue-license.ts");
  const now = new Date();
  const acceptWeak = options.acceptWeak === true;
  const request = await readInput(options.request);
  // Before a passphrase is asked for that would be of no use.
  await verifyAbsent(options.out);
  const parsed = inFile(options.request, () => parseAcceptable(request, acceptWeak));
  const description = await loadServiceDescription(options.services, now);
  const movedFrom = await readReceipt(options.movedFrom);
  const vendor = await openVendorDirectory(options.vendor, await readUnlock(options));
  const renewed = await chooseNumber(options, vendor, request);
  if (renewed !== undefined && movedFrom !== undefined) {
    throw new SignetError("USAGE", "--moved-from makes a new license; leave --renew, --license-id and --sequence out");
  }
  const license = await issueRegistered({
    ...{ request, description, vendor, renewed, movedFrom, out: options.out, now },
    vendorDirectory: options.vendor,
    acceptWeak,
    acceptRollback: readReason(options.acceptRollback),
  });
  printData({ ...summary(license), bundle: options.out }, options, (data) =>
    formatFields([
      ["license", `${data.licenseId}, sequence ${data.sequence}${data.kind === "trial" ? ", a TRIAL" : ""}`],
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
  sayIfEnding(vendor, now);
  say(`It is in ${join(options.vendor, "register.jsonl")}: --renew ${license.licenseId} renews it.`);
}

/** Looked at before the rest, so that the error names the file and no passphrase is asked for in vain. */
async function readReceipt(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  const { parseDeactivationReceipt } = await import("../../../src/license/index.ts");
  const bytes = await readInput(file);
  inFile(file, () => parseDeactivationReceipt(bytes));
  return bytes;
}

/** How the register finds the number of a renewal; undefined for a new license. */
async function chooseNumber(
  options: IssueOptions,
  vendor: VendorDirectory,
  request: Buffer,
): Promise<((register: Register) => LicenseNumber) | undefined> {
  const { nextLicenseNumber } = await import("../issue-license.ts");
  const { lastIssued } = await import("../register-rules.ts");
  const { renew, licenseId, sequence } = options;
  if (renew !== undefined) {
    if (licenseId !== undefined || sequence !== undefined) {
      throw new SignetError("USAGE", "--renew takes the license id and sequence from the file; leave the others out");
    }
    if (uuid.test(renew)) {
      return ({ lines }) => {
        const last = lastIssued(lines, renew);
        if (last === undefined) throw new SignetError("USAGE", `--renew: license ${renew} is not in the register`);
        return { licenseId: renew, sequence: last.sequence + 1 };
      };
    }
    const previous = await readInput(renew);
    const next = inFile(renew, () => nextLicenseNumber(previous, vendor, request));
    // The file may be older than what was issued since.
    return ({ lines }) => {
      const last = lastIssued(lines, next.licenseId)?.sequence ?? 0;
      return { ...next, sequence: Math.max(next.sequence, last + 1) };
    };
  }
  if (licenseId === undefined && sequence === undefined) return undefined;
  if (licenseId === undefined || sequence === undefined) {
    throw new SignetError("USAGE", "--license-id and --sequence are given together or not at all");
  }
  return () => ({ licenseId, sequence });
}

function sayIfEnding({ issuer }: VendorDirectory, now: Date): void {
  const ends = issuer.validToDate;
  if (ends.getTime() - now.getTime() > ROTATION_NOTICE_MS) return;
  say(
    `The issuer's certificate ends ${ends.toISOString().slice(0, 10)}; make a new one: signet-license vendor rotate.`,
  );
}

function readReason(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined;
  const text = reason.trim();
  if (text.length < 3 || text.length > 500) {
    throw new SignetError("USAGE", "--accept-rollback: expected a reason of 3 to 500 characters");
  }
  return text;
}

function summary({ licenseId, sequence, kind, customer, notBefore, expires, graceDays, services }: License) {
  const names = services.map(({ name }) => name);
  return { licenseId, sequence, kind, customer, notBefore, expires, graceDays, services: names };
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function parseLicenseId(text: string): string {
  if (uuid.test(text)) return text;
  throw new InvalidArgumentError("Expected a UUID in lower case.");
}

function parseSequence(text: string): number {
  const value = /^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected a whole number of 1 or more.");
}
