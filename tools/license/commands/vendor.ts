import { join } from "node:path";
import { Command, Option } from "commander";
import { type DataFormat, formatFields, printData, say } from "../../../src/cli/index.ts";
import { SignetError } from "../../../src/errors.ts";
import { verifyAbsent } from "../new-directory.ts";
import { readPassphrase } from "../passphrase.ts";
import type { Signer } from "../signer.ts";
import { MIN_PASSPHRASE_CHARACTERS } from "../signing-key.ts";
import {
  openRootSigner,
  type RootSigningOptions,
  readPublicKey,
  refusePassphraseFile,
  rootCommandSigner,
} from "../signing-options.ts";
import {
  createVendorDirectory,
  type IssuerAlgorithm,
  issuerAlgorithms,
  readVendorCertificates,
  rotateIssuer,
} from "../vendor-directory.ts";

interface InitOptions extends DataFormat {
  readonly name: string;
  readonly out: string;
  readonly issuerAlgorithm: IssuerAlgorithm;
  readonly passphraseFile?: string;
  readonly rootSignerCmd?: string;
  readonly rootPublicKey?: string;
}

interface RotateOptions extends DataFormat, RootSigningOptions {
  readonly issuerAlgorithm?: IssuerAlgorithm;
  readonly publicKey?: string;
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
    .option(
      "--root-signer-cmd <command>",
      "the root signs by a command, as --signer-cmd of `issue`; no root.key is made",
    )
    .option("--root-public-key <file>", "the public half, in PEM, of the key that --root-signer-cmd signs with")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The passphrase encrypts the private keys and has ${MIN_PASSPHRASE_CHARACTERS}
characters or more. Without it no license can be issued.

Example:
  $ signet-license vendor init --name "ACME Vision" --out acme`,
    )
    .action(async (options: InitOptions) => init(options));
  command
    .command("rotate")
    .description("Make a new issuer below the root, which signs from now on.")
    .requiredOption("--vendor <directory>", "the vendor's directory")
    .option("--root-key <file>", "the root's key (default: root.key in the vendor's directory)")
    .addOption(new Option("--root-signer-cmd <command>", "the root signs by a command").conflicts("rootKey"))
    .addOption(
      new Option("--issuer-algorithm <algorithm>", "the new key: RSA-3072 with PSS, or Ed25519")
        .choices(issuerAlgorithms)
        .conflicts("publicKey"),
    )
    .option(
      "--public-key <file>",
      "the public half, in PEM, of a key that stays in an HSM; sign with --signer-cmd then",
    )
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Hosts need nothing new: the root they pinned vouches for the new issuer.
Licenses of earlier issuers go on holding, also after those issuers'
certificates have ended; a stolen issuer is withdrawn with \`signet-license
revoke --issuer\`.

Example:
  $ signet-license vendor rotate --vendor acme`,
    )
    .action(async (options: RotateOptions) => rotate(options));
  return command;
}

async function rotate(options: RotateOptions): Promise<void> {
  const { appendRegister, readRegister, withRegisterLock } = await import("../register.ts");
  const { vendor: directory, passphraseFile, rootSignerCmd } = options;
  const isAllElsewhere = options.publicKey !== undefined && rootSignerCmd !== undefined;
  if (isAllElsewhere) refusePassphraseFile(passphraseFile, "--root-signer-cmd with --public-key");
  // One for both keys; without the root's there is none that it must open, so it is typed twice.
  let asked: Promise<string> | undefined;
  const passphrase = () => {
    asked ??= readPassphrase({ file: passphraseFile, isNew: rootSignerCmd !== undefined });
    return asked;
  };
  const rootSigner = await openRootSigner(options, passphrase);
  const issuer =
    options.publicKey === undefined
      ? { algorithm: options.issuerAlgorithm ?? "rsa", passphrase: await passphrase() }
      : { publicKey: await readPublicKey(options.publicKey) };
  const now = new Date();
  const rotated = await withRegisterLock(directory, async () => {
    // Before anything is made: a register that cannot be gone on with is a reason to stop.
    const register = await readRegister(directory, await readVendorCertificates(directory));
    const { vendor, issuer: certificate } = await rotateIssuer({ directory, rootSigner, issuer, now });
    const { issuerKeyId } = vendor;
    const expires = certificate.validToDate.toISOString();
    const entry = { event: "rotated", issuerKeyId, expires } as const;
    await appendRegister(directory, register, entry, rootSigner, now);
    return { issuerKeyId, expires, directory };
  });
  printData(rotated, options, (data) =>
    formatFields([
      ["issuer key id", data.issuerKeyId],
      ["expires", data.expires],
    ]),
  );
  say(`This issuer signs from now on.${rootSignerCmd === undefined ? " Take the root's key offline again." : ""}`);
}

async function init(options: InitOptions): Promise<void> {
  const name = options.name.trim();
  if (name === "" || name.length > 50 || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) {
    throw new SignetError("USAGE", "--name: expected 1 to 50 printable characters");
  }
  await verifyAbsent(options.out);
  const externalRoot = await readExternalRoot(options);
  const passphrase = await readPassphrase({ file: options.passphraseFile, isNew: true });
  const { vendor, root } = await createVendorDirectory({
    directory: options.out,
    name,
    passphrase,
    issuerAlgorithm: options.issuerAlgorithm,
    externalRoot,
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
  if (externalRoot !== undefined) return;
  say(`Keep ${join(options.out, "root.key")} offline: issuing a license needs issuer.key only.`);
}

/** @throws USAGE, VENDOR_KEY_UNREADABLE */
async function readExternalRoot({ rootSignerCmd, rootPublicKey }: InitOptions): Promise<Signer | undefined> {
  if (rootSignerCmd !== undefined && rootPublicKey !== undefined) {
    return rootCommandSigner(rootSignerCmd, await readPublicKey(rootPublicKey));
  }
  if (rootSignerCmd === undefined && rootPublicKey === undefined) return undefined;
  throw new SignetError("USAGE", "--root-signer-cmd and --root-public-key are given together or not at all");
}
