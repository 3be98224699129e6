import { Command } from "commander";
import { type ConnectionFlags, withConnection } from "../../connection.ts";
import { type DataFormat, printData, say } from "../../output.ts";
import { describeState, hasEnded } from "./describe-job.ts";
import { withJobsClient } from "./with-jobs-client.ts";

type CancelOptions = DataFormat & ConnectionFlags;

/** `signet jobs cancel`. */
export function cancelJobCommand(): Command {
  const command = new Command("cancel")
    .description("Ask a job to end. One that has ended stays as it is.")
    .argument("<id>", "the job's id, from `signet jobs submit` or `list`");
  return withConnection(command)
    .option("--json", "print JSON")
    .action(async (id: string, _, self: Command) => cancel(id, self.optsWithGlobals()));
}

async function cancel(id: string, options: CancelOptions): Promise<void> {
  const job = await withJobsClient(options, (client) => client.cancel(id));
  printData(job, options, describeState);
  if (!hasEnded(job)) say(`It ends when its native code does; \`signet jobs watch ${job.id}\` waits for that.`);
}
