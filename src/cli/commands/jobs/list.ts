import { Command, Option } from "commander";
import type { JobInfo, JobsClient } from "../../../grpc/index.ts";
import { type ConnectionFlags, withConnection } from "../../connection.ts";
import { type DataFormat, printData, say } from "../../output.ts";
import { formatTable } from "../../text-layout.ts";
import { describeState } from "./describe-job.ts";
import { collectLabel, type Labels, parseCount } from "./option-values.ts";
import { withJobsClient } from "./with-jobs-client.ts";

interface ListOptions extends DataFormat, ConnectionFlags {
  readonly service?: string;
  readonly state?: string[];
  readonly label?: Labels;
  readonly limit: number;
  readonly own?: boolean;
}

const MAX_PAGE_SIZE = 1000;
const DEFAULT_LIMIT = 100;

/** `signet jobs list`. */
export function listJobsCommand(): Command {
  const command = new Command("list")
    .description("List jobs, newest first: your own, or as an operator those of all.")
    .option("--service <service>", "only jobs of this service")
    .addOption(
      // Written out, so that --help does not load the server to know them.
      new Option("--state <state...>", "only jobs in one of these states").choices([
        ...["queued", "running", "succeeded", "failed", "cancelled"],
      ]),
    )
    .option("--label <name=value>", "only jobs with this label; give it again for more", collectLabel)
    .option("--limit <n>", "how many at most", parseCount, DEFAULT_LIMIT)
    .option("--own", "only your own, also as an operator");
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
An operator of some services sees the jobs of others with --service, one service
at a time; an operator of every service sees all without it.

Example:
  $ signet jobs list --service text-recognizer --state queued running --limit 20`,
    )
    .action(async (_, self: Command) => list(self.optsWithGlobals()));
}

async function list(options: ListOptions): Promise<void> {
  const { jobs, hasMore } = await withJobsClient(options, (client) => find(client, options));
  if (jobs.length === 0)
    say(isNarrowed(options) ? "No job is like that." : "No jobs; make one with `signet jobs submit`.");
  printData(jobs, options, (all) => (all.length === 0 ? "" : formatJobs(all)));
  if (hasMore) say(`There are more than ${options.limit}; --limit shows them.`);
}

function isNarrowed({ service, state, label }: ListOptions): boolean {
  return service !== undefined || state !== undefined || label !== undefined;
}

async function find(client: JobsClient, options: ListOptions) {
  const { service = "", state: states = [], label: labels = {}, limit, own = false } = options;
  const jobs: JobInfo[] = [];
  let token = "";
  do {
    const pageSize = Math.min(MAX_PAGE_SIZE, limit - jobs.length);
    const page = await client.list({ service, states, labels, own }, pageSize, token);
    jobs.push(...page.jobs);
    token = page.next;
  } while (token !== "" && jobs.length < limit);
  return { jobs, hasMore: token !== "" };
}

function formatJobs(jobs: readonly JobInfo[]): string {
  const rows = jobs.map((job) => [
    job.id,
    job.service,
    describeState(job),
    job.submittedAt.slice(0, 16).replace("T", " "),
    job.client,
  ]);
  return formatTable(["ID", "SERVICE", "STATE", "SUBMITTED", "CLIENT"], rows);
}
