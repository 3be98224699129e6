import { hostname } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import type { WrittenPair } from "../../certs/index.ts";
import { dataDirectory } from "../../config/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { recordCommand } from "../record-command.ts";
import { formatFields } from "../text-layout.ts";
import { warnOtherOwner } from "../warn-other-owner.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
  readonly dir?: string;
  readonly days: number;
}

interface NamesOptions extends GlobalOptions {
  readonly name?: string[];
}

interface ClientOptions extends GlobalOptions {
  readonly name: string;
  readonly out?: string;
}

/** Two years: long enough that a site without internet is not caught out, short enough that keys are changed. */
const DEFAULT_DAYS = 730;

/** `signet certs`: TLS for a site that has no certification authority of its own. */
export function certsCommand(): Command {
  const command = new Command("certs")
    .description("Make TLS certificates for a site without a certification authority of its own.")
    .helpCommand(false);

  withCommon(command.command("init"))
    .description("Make a local certification authority, and a certificate for this server.")
    .option("--name <name...>", "DNS names and IP addresses that clients use (default: this host's, localhost)")
    .addHelpText(
      "after",
      `
Writes ca.crt, ca.key, server.crt and server.key. Clients need ca.crt. Whoever
has ca.key can make certificates for this server and its clients: move it away
where none is made any more.

Example:
  $ signet certs init --name inference.example.com 192.0.2.7`,
    )
    .action(async (_, self: Command) => init(self.optsWithGlobals()));

  withCommon(command.command("server"))
    .description("Replace the server's certificate and key; a running server takes them without a restart.")
    .option("--name <name...>", "DNS names and IP addresses that clients use (default: those of the present one)")
    .action(async (_, self: Command) => server(self.optsWithGlobals()));

  withCommon(command.command("client"))
    .description("Make a certificate and key for a client, which `signet access add --certificate` lets in.")
    .requiredOption("--name <name>", "who will use it")
    .option("--out <directory>", "where to write NAME.crt and NAME.key (default: clients/ in the directory)")
    .addHelpText(
      "after",
      `
Example:
  $ signet certs client --name web-shop --out .
  $ signet access add --name web-shop --certificate web-shop.crt`,
    )
    .action(async (_, self: Command) => client(self.optsWithGlobals()));

  return command;
}

function withCommon(command: Command): Command {
  return command
    .option("--dir <directory>", "where the certificates lie (default: tls/ in the data directory)")
    .option("--days <days>", "how long the certificate is valid", parseDays, DEFAULT_DAYS)
    .option("--json", "print JSON");
}

async function init(options: NamesOptions): Promise<void> {
  const { createTlsDirectory } = await import("../../certs/index.ts");
  const directory = directoryOf(options);
  const names = options.name ?? [...new Set([hostname().toLowerCase(), "localhost", "127.0.0.1", "::1"])];
  const made = await createTlsDirectory(directory, names, { now: new Date(), days: options.days });
  await recordIssued(options, made);
  printData({ ...shown(made), authority: made.authorityFile }, options, (pair) =>
    formatFields([...fieldsOf(pair), ["ca", pair.authority]]),
  );
  say("Put this into signet.yaml, and give ca.crt to the clients:");
  say(`  tls: { cert: ${made.certificateFile}, key: ${made.keyFile}, clientCa: ${made.authorityFile} }`);
}

async function server(options: NamesOptions): Promise<void> {
  const { renewServerPair } = await import("../../certs/index.ts");
  const issuing = { now: new Date(), days: options.days };
  const made = await renewServerPair(directoryOf(options), options.name ?? [], issuing);
  await recordIssued(options, made);
  printData(shown(made), options, (pair) => formatFields(fieldsOf(pair)));
}

async function client(options: ClientOptions): Promise<void> {
  const { createClientPair } = await import("../../certs/index.ts");
  const directory = directoryOf(options);
  const out = options.out ?? `${directory}/clients`;
  const made = await createClientPair(directory, options.name, out, { now: new Date(), days: options.days });
  await recordIssued(options, made);
  printData(shown(made), options, (pair) => formatFields(fieldsOf(pair)));
  say(`Let it in with: signet access add --name ${options.name} --certificate ${made.certificateFile}`);
}

function directoryOf(options: GlobalOptions): string {
  const data = dataDirectory(options.data);
  if (options.dir === undefined) warnOtherOwner(data);
  return options.dir ?? data.tlsDir;
}

async function recordIssued(options: GlobalOptions, made: WrittenPair): Promise<void> {
  const { certificate, expires, sha256 } = shown(made);
  const subject = made.certificate.subject.split("\n").join(", ");
  await recordCommand(dataDirectory(options.data), {
    event: "tls.issued",
    detail: { file: certificate, subject, expires, sha256 },
  });
}

function shown({ certificateFile, keyFile, certificate }: WrittenPair) {
  return {
    certificate: certificateFile,
    key: keyFile,
    names: certificate.subjectAltName ?? null,
    expires: certificate.validToDate.toISOString(),
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

function fieldsOf(pair: ReturnType<typeof shown>): [string, string | null][] {
  return [
    ["certificate", pair.certificate],
    ["key", pair.key],
    ["names", pair.names],
    ["expires", pair.expires],
    ["sha256", pair.sha256],
  ];
}

function parseDays(text: string): number {
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > 3650) {
    throw new InvalidArgumentError("Expected a whole number of days, at most 3650.");
  }
  return days;
}
