import { Command } from "commander";
import { dataDirectory } from "../../config/index.ts";
import type { SignedRevocationList } from "../../license/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { recordCommand } from "../record-command.ts";
import { formatFields, formatTable } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

const MAX_LIST_BYTES = 1024 * 1024;

/** `signet trust revocations`: what pinned vendors have withdrawn. */
export function revocationsCommand(): Command {
  const command = new Command("revocations")
    .description("Install and list what pinned vendors have withdrawn.")
    .helpCommand(false);

  command
    .command("add")
    .description("Install a vendor's revocation list.")
    .argument("<file>", "the list your vendor sent, by any way: it is signed")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Verifies the list against the pinned roots and refuses one that is older than
the one before it. A license on it is refused from then on; a running server
notices within seconds and stops its services.

Example:
  $ signet trust revocations add /media/usb/acme.crl`,
    )
    .action(async (file: string, _, self: Command) => add(file, self.optsWithGlobals()));

  command
    .command("list")
    .description("List what is withdrawn.")
    .option("--json", "print JSON")
    .action(async (_, self: Command) => list(self.optsWithGlobals()));

  return command;
}

async function add(path: string, options: GlobalOptions): Promise<void> {
  const { readSmallFile } = await import("../../license/index.ts");
  const { installRevocationList } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  warnOtherOwner(data);
  const file = await readSmallFile(path, {
    maxBytes: MAX_LIST_BYTES,
    missing: "FILE_UNREADABLE",
    tooLarge: "REVOCATION_LIST_INVALID",
    what: "a revocation list",
  });
  const { list: installed, remembered } = await installRevocationList(data, file);
  const { number, rootKeyId, signerKeyId } = installed;
  await recordCommand(data, { event: "revocations.added", detail: { number, rootKeyId, signerKeyId } });
  printData({ ...installed, remembered }, options, () =>
    formatFields([
      ["number", number],
      ["made", installed.issuedAt],
      ["signer key id", signerKeyId],
      ["licenses", installed.licenses.length],
      ["issuers", installed.issuers.length],
    ]),
  );
  say("Installed. `signet license verify` says whether this host's license is on it.");
}

async function list(options: GlobalOptions): Promise<void> {
  const { readRevocationLists } = await import("../../service/index.ts");
  const lists = await readRevocationLists(dataDirectory(options.data));
  if (lists.length === 0) say("No revocation list is installed; your vendor sends one when there is need.");
  printData(lists, options, (all) => (all.length === 0 ? "" : formatTable(header, all.flatMap(rowsOf))));
}

const header = ["LIST", "MADE", "WITHDRAWN", "ID"];

function rowsOf({ number, issuedAt, licenses, issuers }: SignedRevocationList): string[][] {
  const row = (kind: string) => (id: string) => [`${number}`, issuedAt.slice(0, 10), kind, id];
  return [...licenses.map(row("license")), ...issuers.map(row("issuer"))];
}
