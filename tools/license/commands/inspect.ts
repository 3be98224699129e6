import { dirname, join } from "node:path";
import { Command } from "commander";
import { type DataFormat, printData } from "../../../src/cli/index.ts";
import { inFile, SignetError } from "../../../src/errors.ts";
import { parseTrustRoot, type TrustRoot } from "../../../src/license/index.ts";
import { formatInspection } from "../format-inspection.ts";
import { inspectFile } from "../inspect-file.ts";
import { readInput } from "../read-input.ts";

interface InspectOptions extends DataFormat {
  readonly root?: string;
}

/** `signet-license inspect`: any file of Signet in words, without a secret; its output can be pasted into a ticket. */
export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Explain a request, license, configuration, certificate or revocation list.")
    .argument("<file>", "host.req, license.lic, license.conf, root.pem, issuer.pem, a receipt or a revocation list")
    .option("--root <file>", "the vendor's root.pem, to say whether the signer is that vendor")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Needs no secret and shows none. Exit code 3 when a signature does not hold or
the signer is not the root's.

Examples:
  $ signet-license inspect host.req
  $ signet-license inspect --root acme/root.pem bundle/license.lic`,
    )
    .action(async (file: string, options: InspectOptions) => inspect(file, options));
}

async function inspect(file: string, options: InspectOptions): Promise<void> {
  const bytes = await readInput(file);
  const root = options.root === undefined ? undefined : await readRoot(options.root);
  const license = await readInput(join(dirname(file), "license.lic")).catch(() => undefined);
  const inspection = inFile(file, () => inspectFile(bytes, { root, license }));
  printData(inspection, options, (found) => formatInspection(found, new Date()));
  if ("signature" in inspection && inspection.signature.holds === false) {
    throw new SignetError("LICENSE_SIGNATURE_INVALID", `${file}: the signature does not hold`);
  }
}

async function readRoot(file: string): Promise<TrustRoot> {
  const pem = await readInput(file);
  return inFile(file, () => parseTrustRoot(pem));
}
