import { Command, InvalidArgumentError } from "commander";
import { type DataFormat, formatFields, formatTable, plural, printData, say } from "../../../src/cli/index.ts";
import { SignetError } from "../../../src/errors.ts";
import type { RegisterLine } from "../register.ts";
import { readUnlock, type SigningOptions } from "../signing-options.ts";
import { openVendorDirectory, readVendorCertificates } from "../vendor-directory.ts";

interface RegisterOptions extends DataFormat {
  readonly vendor: string;
}

interface ShowOptions extends RegisterOptions {
  readonly license?: string;
  readonly host?: string;
}

interface RebuildOptions extends RegisterOptions, SigningOptions {
  readonly revocationNumber?: number;
}

interface VerifyOptions extends RegisterOptions {
  readonly head?: string;
}

/** `signet-license register`: what was issued, to whom, and whether the record of it is whole. */
export function registerCommand(): Command {
  const command = new Command("register")
    .description("Show, verify and rebuild what was issued and withdrawn.")
    .helpCommand(false);
  command
    .command("show")
    .description("List what was issued and withdrawn, oldest first.")
    .requiredOption("--vendor <directory>", "the vendor's directory")
    .option("--license <id>", "only what concerns this license")
    .option("--host <keyid>", "only what concerns the host with this key id, or one that begins so")
    .option("--json", "print JSON")
    .addHelpText("after", "\nVerifies the register first; needs no passphrase.")
    .action(async (options: ShowOptions) => show(options));
  command
    .command("verify")
    .description("Verify every line of the register.")
    .requiredOption("--vendor <directory>", "the vendor's directory")
    .option("--head <sha256>", "a head that was noted earlier, which must still be in the chain", parseHead)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Every line names the one before it and is signed, so nothing can be changed,
dropped, added or moved. Only lines at the end could be missing: note the head
that this prints somewhere else, and give it with --head next time.`,
    )
    .action(async (options: VerifyOptions) => verify(options));
  command
    .command("rebuild")
    .description("Write a lost register anew from the licenses, requests and lists that are left.")
    .argument("<path...>", "files, or directories that are searched for them: bundles, requests, lists, used receipts")
    .requiredOption("--vendor <directory>", "the vendor's directory, which has no register")
    .option("--revocation-number <n>", "the highest number of a list ever sent, where that list is lost", parseNumber)
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked)")
    .option("--signer-cmd <command>", "sign by a command, once for each line")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The signature of each file is verified, and one that does not hold ends it. The
first line of the new register says that it was rebuilt. Give only receipts that
were used: their licenses count as moved. What has no file any more is unknown,
and so are reasons, accepted rollbacks and what a moved license became.

Example:
  $ signet-license register rebuild bundles requests lists --vendor acme`,
    )
    .action(async (paths: string[], options: RebuildOptions) => rebuild(paths, options));
  return command;
}

async function rebuild(paths: readonly string[], options: RebuildOptions): Promise<void> {
  const { findVendorFiles } = await import("../find-vendor-files.ts");
  const { rebuildRegister } = await import("../rebuild-register.ts");
  const { lastListNumber } = await import("../register-rules.ts");
  const files = await findVendorFiles(paths);
  if (files.length === 0) throw new SignetError("USAGE", "expected a license, request, list or receipt, found none");
  const { signer } = await openVendorDirectory(options.vendor, await readUnlock(options));
  const { revocationNumber = 0, vendor: vendorDirectory } = options;
  const rebuilt = await rebuildRegister({ vendorDirectory, files, revocationNumber, signer, now: new Date() });
  const { register, ...found } = rebuilt;
  const listNumber = lastListNumber(register.lines);
  printData({ lines: register.lines.length, head: register.head, ...found, listNumber }, options, (data) =>
    formatFields([
      ["lines", data.lines],
      ["head", data.head],
      ["licenses", data.licenses],
      ["lists", data.lists],
      ["used receipts", data.receipts],
    ]),
  );
  say("Note the head elsewhere: it says later whether lines are missing at the end.");
  if (found.withoutRequest > 0) {
    const count = plural(found.withoutRequest, "license");
    say(`${count} without its request: if the host's ledger goes back behind what it quoted then, nobody notices.`);
  }
  say(
    listNumber === 0
      ? "No revocation list was found. If you ever sent one, begin again with --revocation-number: hosts refuse the next."
      : `The next revocation list is number ${listNumber + 1}; if you ever sent a higher one, hosts refuse it.`,
  );
}

function parseNumber(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected a whole number.");
}

function parseHead(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new InvalidArgumentError("Expected a head as `register verify` prints it, 64 digits from 0 to f.");
}

async function show(options: ShowOptions): Promise<void> {
  const { lines } = await read(options);
  const { license, host } = options;
  const chosen = lines.filter(
    (line) => (license === undefined || concernsLicense(line, license)) && (host === undefined || isOfHost(line, host)),
  );
  if (lines.length === 0)
    say("The register is empty. If it was lost, write it anew with `signet-license register rebuild`.");
  else if (chosen.length === 0) say("The register has no such line.");
  printData(chosen, options, (all) => (all.length === 0 ? "" : formatTable(header, all.map(rowOf))));
}

async function verify(options: VerifyOptions): Promise<void> {
  const { lines, head } = await read(options);
  const { head: noted } = options;
  // The hash of a line stands in the next one.
  if (noted !== undefined && noted !== head && !lines.some(({ previous }) => previous === noted)) {
    throw new SignetError(
      "REGISTER_TAMPERED",
      `expected the line with the hash ${noted}, found none: lines are missing`,
    );
  }
  printData({ lines: lines.length, head }, options, (data) =>
    formatFields([
      ["lines", data.lines],
      ["head", data.head],
    ]),
  );
}

async function read({ vendor }: RegisterOptions) {
  const { readRegister } = await import("../register.ts");
  return await readRegister(vendor, await readVendorCertificates(vendor));
}

function concernsLicense(line: RegisterLine, id: string): boolean {
  if (line.event === "issued") return line.licenseId === id || line.movedFrom?.licenseId === id;
  if (line.event === "rebuilt") return line.moved.includes(id);
  return line.event === "withdrawn" && line.licenses.includes(id);
}

function isOfHost(line: RegisterLine, keyId: string): boolean {
  return line.event === "issued" && [line.hostKeyId, line.movedFrom?.hostKeyId].some((id) => id?.startsWith(keyId));
}

const header = ["LINE", "DAY", "EVENT", "ID", "HOST", "DETAIL"];

function rowOf(line: RegisterLine): string[] {
  const place = [`${line.line}`, line.at.slice(0, 10)];
  switch (line.event) {
    case "issued": {
      const what = line.kind === "trial" ? "trial" : line.movedFrom !== null ? "moved" : "license";
      return [...place, what, `${line.licenseId} #${line.sequence}`, line.hostKeyId.slice(0, 16), detailOf(line)];
    }
    case "withdrawn":
      return [...place, `list ${line.number}`, [...line.licenses, ...line.issuers].join(" "), "", line.reason ?? ""];
    case "rebuilt":
      return [...place, "REBUILT", `the next ${plural(line.lines, "line")}`, "", "from files that were left"];
    case "rotated":
      return [...place, "new issuer", line.issuerKeyId.slice(0, 16), "", `until ${line.expires.slice(0, 10)}`];
  }
}

function detailOf(line: RegisterLine & { event: "issued" }): string {
  const used = Object.values(line.ledger?.totals ?? {}).reduce((sum, { runs }) => sum + runs, 0);
  return [
    line.customer,
    line.ledger === null ? "" : `${used} runs used before`,
    line.movedFrom === null ? "" : `from ${line.movedFrom.licenseId}`,
    line.rollbackAccepted === null ? "" : `ROLLBACK ACCEPTED: ${line.rollbackAccepted}`,
  ]
    .filter((word) => word !== "")
    .join(", ");
}
