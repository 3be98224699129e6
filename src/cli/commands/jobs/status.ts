import { Command } from "commander";
import { SignetError } from "../../../errors.ts";
import type { JobInfo } from "../../../grpc/index.ts";
import { type ConnectionFlags, withConnection } from "../../connection.ts";
import { formatDuration } from "../../format-duration.ts";
import { type DataFormat, printData } from "../../output.ts";
import { formatFields } from "../../text-layout.ts";
import { describeOutlook, describeState } from "./describe-job.ts";
import { withJobsClient } from "./with-jobs-client.ts";

interface StatusOptions extends DataFormat, ConnectionFlags {
  readonly report?: boolean;
}

/** `signet jobs status`. */
export function jobStatusCommand(): Command {
  const command = new Command("status")
    .description("Show where a job is.")
    .argument("<id>", "the job's id, from `signet jobs submit` or `list`")
    .option("--report", "print all that is known of it, as JSON: its tensors, and what happened to it when");
  return withConnection(command)
    .option("--json", "print JSON")
    .action(async (id: string, _, self: Command) => status(id, self.optsWithGlobals()));
}

async function status(id: string, options: StatusOptions): Promise<void> {
  const { job, report } = await withJobsClient(options, (client) => client.status(id, options.report));
  if (options.report) printData(parseReport(report), { json: true }, () => "");
  else printData(job, options, formatJob);
}

function parseReport(report: string): unknown {
  try {
    return JSON.parse(report);
  } catch (cause) {
    throw new SignetError("INTERNAL", "the server's report is not JSON", { cause });
  }
}

function formatJob(job: JobInfo): string {
  const { error, runMs, startedAt, submittedAt } = job;
  const outlook = describeOutlook(job);
  const labels = Object.entries(job.labels).map(([name, value]) => `${name}=${value}`);
  return formatFields([
    ["job", job.id],
    ["service", job.version === "" ? job.service : `${job.service} ${job.version}`],
    ["state", [describeState(job), outlook].filter((part) => part !== "").join(", ")],
    ["error", error === null ? null : `${error.code}: ${error.message}`],
    ["attempts", `${job.attempts} of ${job.maxAttempts}`],
    ["device", job.device],
    ["priority", job.priority],
    ["labels", labels.length === 0 ? null : labels.join(", ")],
    ["key", job.idempotencyKey],
    ["client", job.client],
    ["submitted", submittedAt],
    ["started", startedAt],
    ["ended", job.endedAt],
    ["deadline", job.deadlineAt],
    ["waited", startedAt === null ? null : formatDuration(Date.parse(startedAt) - Date.parse(submittedAt))],
    ["ran", runMs === null ? null : formatDuration(runMs)],
  ]);
}
