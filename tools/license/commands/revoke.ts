import { lstat } from "node:fs/promises";
import { Command, Option } from "commander";
import { type DataFormat, formatFields, printData, say } from "../../../src/cli/index.ts";
import { SignetError } from "../../../src/errors.ts";
import { readPassphrase } from "../passphrase.ts";
import type { Signer } from "../signer.ts";
import { openRootSigner, type RootSigningOptions, readUnlock, type SigningOptions } from "../signing-options.ts";
import { openVendorDirectory, readVendorCertificates } from "../vendor-directory.ts";

interface RevokeOptions extends DataFormat, SigningOptions, RootSigningOptions {
  readonly license: string[];
  readonly issuer: string[];
  readonly out: string;
  readonly reason?: string;
}

/** `signet-license revoke`: the list of what hosts should accept no longer. */
export function revokeCommand(): Command {
  const collect = (value: string, all: string[]) => [...all, value];
  return new Command("revoke")
    .description("Withdraw licenses or an issuer, and make the list to send to hosts.")
    .option("--license <id>", "a license id; may be given several times", collect, [])
    .option("--issuer <keyid>", "an issuer's key id: everything it ever signed; the root signs this list", collect, [])
    .requiredOption("--vendor <directory>", "the vendor's keys and register")
    .requiredOption("--out <file>", "the new list; nothing is ever overwritten")
    .option("--reason <text>", "kept in the register, not in the list")
    .option("--root-key <file>", "the root's key, for --issuer (default: root.key in the vendor's directory)")
    .addOption(
      new Option("--root-signer-cmd <command>", "the root signs by a command, for --issuer").conflicts([
        "rootKey",
        "signerCmd",
        "passphraseFile",
      ]),
    )
    .option("--passphrase-file <file>", "file with the passphrase (else $SIGNET_PASSPHRASE, else asked)")
    .option("--signer-cmd <command>", "sign by a command, unless the root signs")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The list has the next number and holds all that was withdrawn before. A host
takes it with \`signet trust revocations add\`; one that never gets it goes on as
before. Nothing is ever taken off a list: issue a new license instead.

Example:
  $ signet-license revoke --license 0b9ee1d2-0d0c-4f0e-9c5f-52a17f3c7c55 \\
      --vendor acme --out acme-1.crl`,
    )
    .action(async (options: RevokeOptions) => revoke(options));
}

async function revoke(options: RevokeOptions): Promise<void> {
  const { verifyIssuerKeyIds, withdraw } = await import("../withdraw.ts");
  const { vendor: directory, license: licenses, issuer: issuers, out } = options;
  if (licenses.length + issuers.length === 0) {
    throw new SignetError("USAGE", "expected --license or --issuer, found nothing to withdraw");
  }
  for (const id of licenses) {
    if (!uuid.test(id)) throw new SignetError("USAGE", `--license: expected a UUID in lower case, found ${id}`);
  }
  await verifyIssuerKeyIds(directory, issuers);
  if ((await lstat(out).catch(() => undefined)) !== undefined) {
    throw new SignetError("FILE_EXISTS", `${out}: is already there`);
  }
  const signer = issuers.length > 0 ? await openRoot(options) : await openIssuerSigner(options);
  const reason = options.reason?.slice(0, 500) ?? null;
  const list = await withdraw({
    ...{ licenses, issuers, reason, signer, out },
    vendorDirectory: directory,
    now: new Date(),
  });
  printData({ file: out, ...list }, options, (data) =>
    formatFields([
      ["list", data.file],
      ["number", data.number],
      ["licenses", data.licenses.length],
      ["issuers", data.issuers.length],
    ]),
  );
  await sayUnknown(directory, licenses);
  say(`Send ${out} to the hosts concerned; \`signet trust revocations add ${out}\` installs it there.`);
  if (issuers.length > 0)
    say("If the issuer that signs now is among them, make a new one: signet-license vendor rotate.");
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

async function openIssuerSigner(options: RevokeOptions): Promise<Signer> {
  if (options.rootSignerCmd !== undefined) {
    throw new SignetError("USAGE", "--root-signer-cmd: the issuer signs this list, with --signer-cmd");
  }
  const { signer } = await openVendorDirectory(options.vendor, await readUnlock(options));
  return signer;
}

async function openRoot(options: RevokeOptions): Promise<Signer> {
  if (options.signerCmd !== undefined) {
    throw new SignetError(
      "USAGE",
      "--issuer: the root signs this list, with --root-key or --root-signer-cmd; leave --signer-cmd out",
    );
  }
  return await openRootSigner(options, () => readPassphrase({ file: options.passphraseFile, isNew: false }));
}

/** A mistyped id would withdraw nothing. */
async function sayUnknown(directory: string, licenses: readonly string[]): Promise<void> {
  const { readRegister } = await import("../register.ts");
  const { lastIssued } = await import("../register-rules.ts");
  const { lines } = await readRegister(directory, await readVendorCertificates(directory));
  for (const id of licenses) {
    if (lastIssued(lines, id) === undefined) say(`License ${id} is not in the register; is it the right id?`);
  }
}
