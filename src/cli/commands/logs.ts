import { Command, InvalidArgumentError, Option } from "commander";
import type { LogFilterMessage, LogLineMessage } from "../../grpc/index.ts";
import { type ConnectionFlags, connectionFrom, withConnection } from "../connection.ts";
import { type DataFormat, printData, say } from "../output.ts";
import { durationExamples, parseDuration } from "../parse-duration.ts";

interface LogsOptions extends DataFormat, ConnectionFlags {
  readonly service?: string;
  readonly job?: string;
  readonly platform?: boolean;
  readonly stream?: string;
  readonly level?: string;
  readonly since?: Date;
  readonly grep?: string;
  readonly follow?: boolean;
  readonly last?: number;
}

const MAX_LINES = 5000;
const DEFAULT_LAST = 1000;
const DEFAULT_LAST_FOLLOWED = 10;
/** Of a job's id; enough to tell jobs of a moment apart. */
/** Ids of jobs begin with the time, so that less of one is often that of others too. */
const SHORT_ID = 18;

/** `signet logs`: what plugins printed and what the server said. */
export function logsCommand(): Command {
  const command = new Command("logs")
    .description("Print what the plugins printed and what the server said, and follow it.")
    .helpCommand(false)
    .option("--service <name>", "only lines of this service, and for an admin what the server said about it")
    .option("--job <id>", "only lines that this job may have written; the beginning of its id is enough")
    .option("--platform", "only what the server itself said, which needs the role admin")
    .addOption(
      new Option("--stream <stream>", "only what plugins printed there")
        .choices(["stdout", "stderr"])
        .conflicts("level"),
    )
    .addOption(
      new Option("--level <level>", "only lines of the server, from this level up").choices([
        ...["trace", "debug", "info", "warn", "error", "fatal"],
      ]),
    )
    .option("--since <when>", "not before this: 10m, 2h, 7d, or a time such as 2030-12-31T12:00:00Z", parseSince)
    .option("--grep <text>", "only lines with this text in them, in capitals or not")
    .option("--follow", "go on with every line as it comes")
    .option(
      "--last <lines>",
      `how many lines at most, the newest (default: ${DEFAULT_LAST}; with --follow ${DEFAULT_LAST_FOLLOWED})`,
      parseCount,
    );
  return withConnection(command)
    .option("--json", "print JSON; with --follow a line of it for each")
    .addHelpText(
      "after",
      `
An operator sees the lines of services it has a grant for. A line has the
beginning of its job's id where one job ran; where several ran in the
process at that moment it has the first and how many more. --json has all.

Examples:
  $ signet logs --service ocr --since 10m
  $ signet logs --follow --service ocr --job 01a2019e-9643-7000
  $ signet logs --platform --level warn`,
    )
    .action(async (_, self: Command) => logs(self.optsWithGlobals()));
}

async function logs(options: LogsOptions): Promise<void> {
  const { AdminClient } = await import("../../grpc/index.ts");
  const client = new AdminClient(await connectionFrom(options));
  try {
    if (options.follow) await follow(client, options);
    else await search(client, options);
  } finally {
    client.close();
  }
}

type Client = InstanceType<typeof import("../../grpc/index.ts").AdminClient>;

async function search(client: Client, options: LogsOptions): Promise<void> {
  const last = options.last ?? DEFAULT_LAST;
  const { lines, cut } = await client.searchLogs(filterFrom(options), last);
  printData(lines.map(shown), options, () => lines.map(formatLine).join("\n"));
  if (lines.length === 0) say("No line is like that.");
  else if (cut) say(`These are the newest ${last}; there are older ones too (--last, --since).`);
}

async function follow(client: Client, options: LogsOptions): Promise<void> {
  for await (const { line, skipped } of client.tailLogs(filterFrom(options), options.last ?? DEFAULT_LAST_FOLLOWED)) {
    if (skipped > 0) say(`(${skipped} lines came faster than they were taken and were left out)`);
    if (line === null) continue;
    if (options.json) process.stdout.write(`${JSON.stringify(shown(line))}\n`);
    else printData(line, {}, formatLine);
  }
}

function filterFrom({ service, job, platform, stream, level, since, grep }: LogsOptions): Partial<LogFilterMessage> {
  return {
    service: service ?? "",
    jobId: job ?? "",
    source: platform ? "LOG_SOURCE_PLATFORM" : "LOG_SOURCE_UNSPECIFIED",
    stream: stream ?? "",
    level: level ?? "",
    sinceMs: since?.getTime() ?? 0,
    text: grep ?? "",
  };
}

/** As JSON: what is not there is left out. */
function shown({ timeMs, source, service, stream, level, pid, jobIds, text }: LogLineMessage) {
  return {
    time: new Date(timeMs).toISOString(),
    source: source === "LOG_SOURCE_PLATFORM" ? "platform" : "service",
    service: service || null,
    ...(stream === "" ? {} : { stream, pid, jobs: jobIds }),
    ...(level === "" ? {} : { level, jobs: jobIds }),
    text,
  };
}

/** `2030-12-31 12:00:00.000 ocr stdout 01a2019e-9643-7000+1  the text` */
function formatLine({ timeMs, service, stream, level, jobIds, text }: LogLineMessage): string {
  const time = new Date(timeMs).toISOString().replace("T", " ").slice(0, -1);
  const [first, ...others] = jobIds;
  const job = first === undefined ? "" : ` ${first.slice(0, SHORT_ID)}${others.length > 0 ? `+${others.length}` : ""}`;
  const origin = level === "" ? `${service} ${stream}${job}` : `signet ${level}`;
  return `${time} ${origin}  ${text}`;
}

function parseSince(text: string): Date {
  const ms = parseDuration(text);
  if (ms !== null) return new Date(Date.now() - ms);
  const time = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError(`Expected ${durationExamples}, or a time such as 2030-12-31T12:00:00Z.`);
  }
  return time;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_LINES) {
    throw new InvalidArgumentError(`Expected a whole number from 1 to ${MAX_LINES}.`);
  }
  return count;
}
