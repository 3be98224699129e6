import { Command } from "commander";
import type { JobInfo, JobUpdate } from "../../../grpc/index.ts";
import { type ConnectionFlags, withConnection } from "../../connection.ts";
import { type DataFormat, printData, say } from "../../output.ts";
import { describeOutlook, describeState, failureOf } from "./describe-job.ts";
import { followJob } from "./follow-job.ts";
import { formatProgress, isWatchedByPerson, ProgressBar } from "./progress-bar.ts";
import { withJobsClient } from "./with-jobs-client.ts";

type WatchOptions = DataFormat & ConnectionFlags;

/** `signet jobs watch`. */
export function watchJobCommand(): Command {
  const command = new Command("watch")
    .description("Follow a job until it has ended.")
    .argument("<id>", "the job's id, from `signet jobs submit` or `list`");
  return withConnection(command)
    .option("--json", "print a line of JSON for each change")
    .addHelpText(
      "after",
      `
On a terminal there is a bar, elsewhere a line for each change. A server that is
started again meanwhile is waited for, as long as --timeout-ms says. Exit code 0
when the job succeeded, else that of the job's error.`,
    )
    .action(async (id: string, _, self: Command) => watch(id, self.optsWithGlobals()));
}

async function watch(id: string, options: WatchOptions): Promise<void> {
  const last = await withJobsClient(options, async (client) => {
    const teller = options.json ? new JsonTeller() : isWatchedByPerson() ? new BarTeller() : new LineTeller();
    let job: JobInfo | undefined;
    try {
      for await (const update of followJob(client, id, options.timeoutMs, (text) => teller.note(text))) {
        ({ job } = update);
        teller.tell(update);
      }
    } finally {
      teller.end(job);
    }
    return job;
  });
  const failure = last === undefined ? null : failureOf(last);
  if (failure !== null) throw failure;
}

/** Tells what happens to a job. */
interface Teller {
  tell(update: JobUpdate): void;
  /** Tells what happens to the connection. */
  note(text: string): void;
  /** Nothing more comes. @param job as it was told last; undefined where nothing was */
  end(job: JobInfo | undefined): void;
}

class JsonTeller implements Teller {
  tell(update: JobUpdate): void {
    process.stdout.write(`${JSON.stringify(update)}\n`);
  }

  note(text: string): void {
    say(text);
  }

  end(): void {}
}

class BarTeller implements Teller {
  readonly #bar = new ProgressBar();

  tell({ job }: JobUpdate): void {
    this.#bar.show(formatProgress(job));
  }

  note(text: string): void {
    this.#bar.say(text);
  }

  end(job: JobInfo | undefined): void {
    this.#bar.clear();
    if (job !== undefined) printData(job, {}, describeState);
  }
}

class LineTeller implements Teller {
  #hasBegun = false;
  #told = "";

  tell({ job, event }: JobUpdate): void {
    // How it is comes first; what happened to it before that comes after, and is told in order.
    this.#hasBegun ||= event !== null;
    if (!this.#hasBegun) return;
    const line = event === null ? lineOfProgress(job) : lineOfEvent(job, event);
    if (line !== "" && line !== this.#told) printData(line, {}, (text) => text);
    this.#told = line;
  }

  note(text: string): void {
    say(text);
  }

  end(): void {}
}

/**
 * `running 43 %  stage 1, about 12 s left`, or what it waits for; a change of its state has a line of its own.
 */
function lineOfProgress(job: JobInfo): string {
  const isTold = job.state === "running" ? job.progressPermille > 0 : job.state === "queued" && job.waitsFor !== "";
  return isTold ? [describeState(job), describeOutlook(job)].filter((part) => part !== "").join("  ") : "";
}

/** `2026-11-22T04:30:12.345Z  claimed  attempt 1 on cpu`. */
function lineOfEvent({ device }: JobInfo, { at, type, attempt, error }: NonNullable<JobUpdate["event"]>): string {
  const place = type === "claimed" ? `attempt ${attempt}${device === null ? "" : ` on ${device}`}` : "";
  const why = error === null ? "" : `${error.code}: ${error.message}`;
  return [at, type, place, why].filter((part) => part !== "").join("  ");
}
