import { Command } from "commander";
import { type DataFormat, formatFields, formatTable, printData, say } from "../../../src/cli/index.ts";
import { SignetError } from "../../../src/errors.ts";
import type { RegisterLine } from "../register.ts";
import { readVendorCertificates } from "../vendor-directory.ts";

interface RegisterOptions extends DataFormat {
  readonly vendor: string;
}

interface ShowOptions extends RegisterOptions {
  readonly license?: string;
  readonly host?: string;
}

interface VerifyOptions extends RegisterOptions {
  readonly head?: string;
}

/** `signet-license register`: what was issued, to whom, and whether the record of it is whole. */
export function registerCommand(): Command {
  const command = new Command("register")
    .description("Show and verify what was issued and withdrawn.")
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
    .option("--head <sha256>", "a head that was noted earlier, which must still be in the chain")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Every line names the one before it and is signed, so nothing can be changed,
dropped, added or moved. Only lines at the end could be missing: note the head
that this prints somewhere else, and give it with --head next time.`,
    )
    .action(async (options: VerifyOptions) => verify(options));
  return command;
}

async function show(options: ShowOptions): Promise<void> {
  const { lines } = await read(options);
  const { license, host } = options;
  const chosen = lines.filter(
    (line) => (license === undefined || concernsLicense(line, license)) && (host === undefined || isOfHost(line, host)),
  );
  if (chosen.length === 0) say("The register has no such line.");
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
