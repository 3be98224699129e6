import { Command } from "commander";
import { dataDirectory } from "../../config/index.ts";
import { inFile, SignetError } from "../../errors.ts";
import type { TrustRoot } from "../../license/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { recordCommand } from "../record-command.ts";
import { formatFields, formatTable } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";
import { revocationsCommand } from "./revocations.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

const MAX_ROOT_BYTES = 64 * 1024;

/** `signet trust`: whose licenses this host accepts. */
export function trustCommand(): Command {
  const command = new Command("trust").description("Choose whose licenses this host accepts.").helpCommand(false);

  command
    .command("add")
    .description("Pin a vendor's root certificate.")
    .argument("<file>", "root.pem, from your vendor by a channel you trust; never from beside a license")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ signet trust add root.pem")
    .action(async (file: string, _, self: Command) => add(file, self.optsWithGlobals()));

  command
    .command("list")
    .description("List the pinned roots.")
    .option("--json", "print JSON")
    .action(async (_, self: Command) => list(self.optsWithGlobals()));

  command
    .command("remove")
    .description("Pin a root no longer; its licenses are refused, also by a running server.")
    .argument("<keyid>", "the root's whole key id, from `signet trust list`")
    .option("--json", "print JSON")
    .action(async (keyId: string, _, self: Command) => remove(keyId, self.optsWithGlobals()));

  command.addCommand(revocationsCommand());
  return command;
}

async function add(file: string, options: GlobalOptions): Promise<void> {
  const { addTrustRoot, parseTrustRoot, readSmallFile } = await import("../../license/index.ts");
  const pem = await readSmallFile(file, {
    maxBytes: MAX_ROOT_BYTES,
    missing: "FILE_UNREADABLE",
    tooLarge: "TRUST_ROOT_INVALID",
    what: "a certificate",
  });
  const data = dataDirectory(options.data);
  warnOtherOwner(data);
  const root = shown(inFile(file, () => parseTrustRoot(pem)));
  const isNew = await addTrustRoot(data.trustDir, pem).then(() => true, alreadyPinned);
  if (isNew) await recordCommand(data, { event: "trust.added", detail: { keyId: root.keyId, vendor: root.vendor } });
  printData(root, options, ({ vendor, keyId, expires }) =>
    formatFields([
      ["vendor", vendor],
      ["key id", keyId],
      ["expires", expires],
    ]),
  );
  if (!isNew) {
    say("This root is trusted already; nothing was changed.");
    return;
  }
  say("Compare the key id with the one your vendor reads to you by phone; if it differs, take the root away again:");
  say(`  signet trust remove ${root.keyId}`);
}

/** The file's name is the key's id, so the root with this key is there. */
function alreadyPinned(error: unknown): false {
  if (error instanceof SignetError && error.code === "FILE_EXISTS") return false;
  throw error;
}

async function list(options: GlobalOptions): Promise<void> {
  const { loadTrustRoots } = await import("../../license/index.ts");
  const data = dataDirectory(options.data);
  const roots = await loadTrustRoots(data.trustDir).catch((error: unknown) => {
    if (error instanceof SignetError && error.code === "TRUST_ROOT_MISSING") return [];
    throw error;
  });
  if (roots.length === 0)
    say(`No root is pinned yet in ${data.root}; pin your vendor's with \`signet trust add root.pem\`.`);
  printData(roots.map(shown), options, (all) => {
    if (all.length === 0) return "";
    const rows = all.map(({ vendor, keyId, expires }) => [keyId, expires.slice(0, 10), vendor]);
    return formatTable(["KEY ID", "EXPIRES", "VENDOR"], rows);
  });
}

async function remove(keyId: string, options: GlobalOptions): Promise<void> {
  const { readServingState } = await import("../../service/index.ts");
  const { removeTrustRoot } = await import("../../license/index.ts");
  const data = dataDirectory(options.data);
  await removeTrustRoot(data.trustDir, keyId);
  await recordCommand(data, { event: "trust.removed", detail: { keyId } });
  printData({ keyId }, options, () => "");
  say(`The root ${keyId} is no longer pinned.`);
  const isServing = readServingState(data) !== null;
  if (isServing) say("The running server stops what it serves by this root's license within a second or two.");
}

function shown({ keyId, certificate }: TrustRoot) {
  return {
    keyId,
    vendor: certificate.subject.split("\n").join(", "),
    expires: certificate.validToDate.toISOString(),
  };
}
