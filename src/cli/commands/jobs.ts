import { Command } from "commander";
import { cancelJobCommand } from "./jobs/cancel.ts";
import { listJobsCommand } from "./jobs/list.ts";
import { jobResultCommand } from "./jobs/result.ts";
import { jobStatusCommand } from "./jobs/status.ts";
import { submitJobsCommand } from "./jobs/submit.ts";
import { watchJobCommand } from "./jobs/watch.ts";

/** `signet jobs`: work that outlives the call it was asked by. */
export function jobsCommand(): Command {
  const command = new Command("jobs")
    .description("Submit work to a running server, watch it, and fetch what came of it.")
    .helpCommand(false);
  const commands = [
    submitJobsCommand(),
    jobStatusCommand(),
    watchJobCommand(),
    cancelJobCommand(),
    listJobsCommand(),
    jobResultCommand(),
  ];
  for (const each of commands) command.addCommand(each);
  return command;
}
