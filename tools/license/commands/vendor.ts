import { join } from "node:path";
import { Command, Option } from "commander";
import { type DataFormat, formatFields, printData, say } from "../../../src/cli/index.ts";
import { SignetError } from "../../../src/errors.ts";
import { verifyAbsent } from "../new-directory.ts";
import { readPassphrase } from "../passphrase.ts";
import { MIN_PASSPHRASE_CHARACTERS } from "../signing-key.ts";
import { createVendorDirectory, type IssuerAlgorithm, issuerAlgorithms } from "../vendor-directory.ts";

interface InitOptions extends DataFormat {
  readonly name: string;
  readonly out: string;
  readonly issuerAlgorithm: IssuerAlgorithm;
  readonly passphraseFile?: string;
}

/** `signet-license vendor`: the keys that everything a vendor signs hangs on. */
export function vendorCommand(): Command {
  const command = new Command("vendor").description("Make the vendor's keys.").helpCommand(false);
  command
    .command("init")
    .description("Make a root and an issuer, with their private keys encrypted.")
    .requiredOption("--name <name>", "the vendor's name, shown in every license")
    .requiredOption("--out <directory>", "the new directory; nothing is ever overwritten")
    .addOption(
      new Option("--issuer-algorithm <algorithm>", "the key that signs licenses: RSA-3072 with PSS, or Ed25519")
        .choices(issuerAlgorithms)
        .default("rsa"),
    )
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked twice)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The passphrase encrypts both private keys and has ${MIN_PASSPHRASE_CHARACTERS}
characters or more. Without it no license can be issued.

Example:
  $ signet-license vendor init --name "ACME Vision" --out acme`,
    )
    .action(async (options: InitOptions) => init(options));
  return command;
}

async function init(options: InitOptions): Promise<void> {
  const name = options.name.trim();
  if (name === "" || name.length > 50 || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) {
    throw new SignetError("USAGE", "--name: expected 1 to 50 printable characters");
  }
  await verifyAbsent(options.out);
  const passphrase = await readPassphrase({ file: options.passphraseFile, isNew: true });
  const { vendor, root } = await createVendorDirectory({
    directory: options.out,
    name,
    passphrase,
    issuerAlgorithm: options.issuerAlgorithm,
  });
  const made = {
    name: vendor.name,
    directory: options.out,
    rootKeyId: vendor.rootKeyId,
    issuerKeyId: vendor.issuerKeyId,
    rootExpires: root.validToDate.toISOString(),
  };
  printData(made, options, (data) =>
    formatFields([
      ["vendor", data.name],
      ["root key id", data.rootKeyId],
      ["issuer key id", data.issuerKeyId],
    ]),
  );
  say(
    `Send ${join(options.out, "root.pem")} to your customers, and the root key id by another way, so they can compare.`,
  );
  say(`Keep ${join(options.out, "root.key")} offline: issuing a license needs issuer.key only.`);
}
