import { Command, InvalidArgumentError, Option } from "commander";
import type { AuditDetail } from "../../audit/index.ts";
import { type DataDirectory, dataDirectory } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import type { Role, TokenRecord } from "../../service/index.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { recordCommand } from "../record-command.ts";
import { formatTable } from "../text-layout.ts";

interface GlobalOptions extends DataFormat {
  readonly data?: string;
}

interface AddOptions extends GlobalOptions {
  readonly name: string;
  readonly role: Role;
  readonly service?: string[];
  readonly expires?: Date;
  readonly certificate?: string;
  readonly callsPerSecond?: number;
  readonly burst?: number;
  readonly concurrent?: number;
}

/**
 * `signet access`: who may call this server. A running server takes a new token at once and drops a removed one within
 * a second.
 */
export function accessCommand(): Command {
  const command = new Command("access").description("Give and take away access to the server.").helpCommand(false);

  command
    .command("add")
    .description("Make an access token and print it, once; or let in a client certificate.")
    .requiredOption("--name <name>", "who will use it; shown in logs")
    // Written out, so that --help does not load the server to know its roles.
    .addOption(
      new Option(
        "--role <role>",
        "viewer: metadata; client: inference too; operator: also sees status and logs of its services, unloads and loads them, and changes the log and traces; admin: as operator, for every service",
      )
        .choices(["viewer", "client", "operator", "admin"] satisfies Role[])
        .default("client"),
    )
    .option("--service <service...>", "the services it may use (default: every service)")
    .option("--expires <date>", "when it stops working, for example 2030-12-31 (default: never)", parseDate)
    .option("--certificate <file>", "let in who has the key of this client certificate, instead of making a token")
    .option("--calls-per-second <n>", "how many calls it may make in a second, in the long run", parsePositive)
    .option("--burst <n>", "how many at once after a pause (default: those of a second)", parsePositive)
    .option("--concurrent <n>", "how many calls it may have at the same time", parsePositive)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ signet access add --name web-shop --role client --service text-recognizer")
    .action(async (_, self: Command) => add(self.optsWithGlobals()));

  command
    .command("list")
    .description("List the tokens, without their secrets.")
    .option("--json", "print JSON")
    .action(async (_, self: Command) => list(self.optsWithGlobals()));

  command
    .command("remove")
    .description("Take a token away; a running server refuses it within a second.")
    .argument("<id>", "the token's id, from `signet access list`")
    .option("--json", "print JSON")
    .action(async (id: string, _, self: Command) => remove(id, self.optsWithGlobals()));

  return command;
}

async function add(options: AddOptions): Promise<void> {
  const { addCertificate, addToken, readTokens } = await import("../../service/index.ts");
  const services: "all" | string[] = options.service ?? "all";
  const { callsPerSecond = null, burst = null, concurrent = null } = options;
  if (burst !== null && callsPerSecond === null) throw new SignetError("USAGE", "--burst needs --calls-per-second");
  const grant = {
    ...{ name: options.name, role: options.role, services, expires: options.expires ?? null },
    limits: { callsPerSecond, burst, concurrent },
  };
  const data = dataDirectory(options.data);
  const namesakes = readTokens(data.accessFile).filter(({ name }) => name === options.name);
  if (options.certificate !== undefined) {
    const pem = await readCertificate(options.certificate);
    const record = await addCertificate(data.accessFile, grant, pem).catch((error) => {
      if (error.code !== "USAGE") throw error;
      throw new SignetError("USAGE", `${options.certificate}: ${error.message}`, { cause: error });
    });
    await recordCommand(data, { event: "access.added", detail: detailOf(record) });
    printData(shown(record), options, ({ id }) => id);
    say(`Its certificate is let in; take it away with \`signet access remove ${record.id}\`.`);
    return;
  }
  const { token, record } = await addToken(data.accessFile, grant);
  await recordCommand(data, { event: "access.added", detail: detailOf(record) });
  printData({ token: token.reveal(), ...shown(record) }, options, (made) => made.token);
  if (services === "all") say(`The token may use every service as ${record.role}; --service limits it.`);
  for (const service of await unlicensedOf(data, services)) {
    say(`Warning: the installed license names no service ${service}; the token waits for one that does.`);
  }
  for (const { id } of namesakes) {
    say(`Warning: token ${id} is called ${record.name} too, and works on; logs show only the name.`);
  }
  say(`Keep it: it is not stored and cannot be shown again. Take it away with \`signet access remove ${record.id}\`.`);
}

/** Which of these services the installed license does not name; none where no license can be read. */
async function unlicensedOf(data: DataDirectory, services: "all" | readonly string[]): Promise<string[]> {
  if (services === "all") return [];
  const { readInstalledLicense } = await import("../../service/index.ts");
  const installed = await readInstalledLicense(data).catch(() => undefined);
  if (installed === undefined) return [];
  const licensed = installed.license.services.map(({ name }) => name);
  return services.filter((service) => !licensed.includes(service));
}

async function list(options: GlobalOptions): Promise<void> {
  const { readTokens } = await import("../../service/index.ts");
  const { accessFile, root } = dataDirectory(options.data);
  const tokens = readTokens(accessFile).map(shown);
  if (tokens.length === 0) say(`No tokens yet in ${root}; make one with \`signet access add --name NAME\`.`);
  printData(tokens, options, (all) => {
    if (all.length === 0) return "";
    const rows = all.map(({ id, name, role, services, createdAt, expires, certificateSha256, limits }) => [
      id,
      name,
      role,
      services === "all" ? "all" : services.join(","),
      createdAt.slice(0, 10),
      expires?.slice(0, 10) ?? "never",
      certificateSha256 === null ? "token" : "certificate",
      describeLimits(limits),
    ]);
    return formatTable(["ID", "NAME", "ROLE", "SERVICES", "CREATED", "EXPIRES", "PROOF", "LIMITS"], rows);
  });
}

async function remove(id: string, options: GlobalOptions): Promise<void> {
  const { removeToken } = await import("../../service/index.ts");
  const data = dataDirectory(options.data);
  const record = await removeToken(data.accessFile, id);
  await recordCommand(data, { event: "access.removed", detail: detailOf(record) });
  printData(shown(record), options, () => "");
  say(`Token ${record.id} (${record.name}) is removed.`);
}

async function readCertificate(file: string): Promise<Buffer> {
  const { readSmallFile } = await import("../../license/index.ts");
  const limits = { maxBytes: 64 * 1024, missing: "FILE_UNREADABLE", tooLarge: "USAGE", what: "a certificate" } as const;
  return await readSmallFile(file, limits);
}

function detailOf({ id, name, role, services, certificateSha256 }: TokenRecord): AuditDetail {
  const proof = { certificateSha256: certificateSha256 ?? null };
  return { id, name, role, services: services === "all" ? services : [...services], ...proof };
}

function shown({ secretSha256: _, certificateSha256, limits, ...record }: TokenRecord) {
  return { ...record, certificateSha256: certificateSha256 ?? null, limits: limits ?? null };
}

function describeLimits(limits: TokenRecord["limits"] | null): string {
  if (!limits) return "none";
  const { callsPerSecond, concurrent } = limits;
  const rate = callsPerSecond === null ? [] : [`${callsPerSecond}/s`];
  return [...rate, ...(concurrent === null ? [] : [`${concurrent} at once`])].join(", ");
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("Expected a number above 0.");
  return value;
}

function parseDate(text: string): Date {
  const date = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError("Expected a date such as 2030-12-31.");
  }
  if (date.getTime() <= Date.now()) throw new InvalidArgumentError("Expected a time that is still to come.");
  return date;
}
