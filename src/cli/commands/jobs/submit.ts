import { Command, InvalidArgumentError } from "commander";
import { SignetError } from "../../../errors.ts";
import type { JobInfo, JobSubmission, JobsClient } from "../../../grpc/index.ts";
import { type ConnectionFlags, connectionFrom, withConnection } from "../../connection.ts";
import { type DataFormat, printData, say } from "../../output.ts";
import { durationExamples, parseDuration } from "../../parse-duration.ts";
import { plural } from "../../plural.ts";
import { uploadArtifact } from "./artifact-input.ts";
import { describeState, failureOf } from "./describe-job.ts";
import { followJob } from "./follow-job.ts";
import { type InputWord, parseInputWord } from "./input-word.ts";
import { inputFrom } from "./job-input.ts";
import { collectLabel, type Labels, parseCount } from "./option-values.ts";
import { formatBar, formatProgress, isWatchedByPerson, ProgressBar } from "./progress-bar.ts";
import { withJobsClient } from "./with-jobs-client.ts";

interface SubmitOptions extends DataFormat, ConnectionFlags {
  readonly input?: readonly InputWord[];
  readonly artifact?: readonly InputWord[];
  readonly priority?: number;
  /** How long the job may take, ms. */
  readonly timeout?: number;
  readonly label?: Labels;
  readonly idempotencyKey?: string;
  readonly count: number;
  readonly wait?: boolean;
}

/** Of one call; the server takes no more. */
const MAX_JOBS_AT_ONCE = 1000;
/** So that the jobs of one call fit into a message. */
const MAX_BYTES_AT_ONCE = 4 * 2 ** 20;

/** `signet jobs submit`. */
export function submitJobsCommand(): Command {
  const command = new Command("submit")
    .description("Submit a job, and print its id. It waits, runs and is kept whether or not anybody waits for it.")
    .argument("<service>", "the service's name")
    .option("--input <name=value>", "an input: JSON, or a file; give it again for each", collectInput)
    .option("--artifact <name=file>", "an input of any size, sent ahead in pieces", collectInput)
    .option("--priority <n>", "smaller runs earlier (default: 100)", parseCount)
    .option("--timeout <duration>", "how long it may wait and run together, such as 10m", parseTimeout)
    .option("--label <name=value>", "a label to find it by; give it again for more", collectLabel)
    .option("--idempotency-key <key>", "the same key is the same job: submitting again makes no second one")
    .option("--count <n>", "submit it so many times", parseCount, 1)
    .option("--wait", "wait until it has ended; exit code 0 only if it succeeded");
  return withConnection(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
What is no JSON is a file; @ before its name says so too. A file *.json has
JSON, any other the tensor's raw bytes, or of a BYTES input its one element.
JSON is the data, an array or one value, or an object with "data" or "base64",
and if need be "shape" and "datatype", which are else the service's. Where its
shape is open in several places, say which: NAME[1,3,48,320]=FILE.

Examples:
  $ signet jobs submit identity --input 'input=[1, 2, 3]'
  $ signet jobs submit detector --artifact image=@scan.raw --priority 1 --wait
  $ signet jobs submit identity --input input=@a.raw --count 100 --label run=7`,
    )
    .action(async (service: string, _, self: Command) => submit(service, self.optsWithGlobals()));
}

async function submit(service: string, options: SubmitOptions): Promise<void> {
  await withJobsClient(options, async (client) => {
    const submission = await prepare(client, service, options);
    const jobs: JobInfo[] = [];
    for (const batch of batchesOf(submission, options)) {
      jobs.push(...(await client.submit(batch)));
      // At once, since what was accepted runs, whatever comes of the next batch.
      if (!options.json && !options.wait)
        printData(jobs.slice(-batch.length), {}, (some) => some.map(({ id }) => id).join("\n"));
    }
    if (options.wait) await waitFor(client, jobs, options);
    else if (options.json) printData(jobs, options, () => "");
    else if (jobs.length === 1) say(`It was accepted; follow it with \`signet jobs watch ${jobs[0]!.id}\`.`);
    else say(`${jobs.length} jobs were accepted; see them with \`signet jobs list\`.`);
  });
}

/** Reads what the job is to have, and uploads its artifacts. */
async function prepare(client: JobsClient, service: string, options: SubmitOptions): Promise<JobSubmission> {
  const { InferenceClient } = await import("../../../grpc/index.ts");
  const inference = new InferenceClient(await connectionFrom(options));
  try {
    const { inputs: specs } = await inference.modelMetadata(service);
    const named = specs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(Number) }));
    const specOf = ({ name }: InputWord) => {
      const spec = named.find((each) => each.name === name);
      if (spec !== undefined) return spec;
      const base = named.find((each) => name.startsWith(`${each.name}[`) && name.endsWith("]"))?.name;
      if (base !== undefined) {
        const found = name.slice(base.length);
        throw new SignetError("USAGE", `input ${base}: expected its shape as in [1,3,48,320], found ${found}`);
      }
      const names = named.map((each) => each.name).join(", ");
      throw new SignetError("USAGE", `${service} has no input ${JSON.stringify(name)}; it has ${names}`);
    };
    const inputs = await Promise.all((options.input ?? []).map((word) => inputFrom(word, specOf(word))));
    const artifactInputs: JobSubmission["artifactInputs"][number][] = [];
    for (const word of options.artifact ?? []) artifactInputs.push(await uploadArtifact(client, word, specOf(word)));
    const { priority = 0, timeout: timeoutMs = 0, label: labels = {}, idempotencyKey = "" } = options;
    return { service, inputs, artifactInputs, priority, timeoutMs, labels, idempotencyKey };
  } finally {
    inference.close();
  }
}

/** The same job as often as it is wanted; each has a key of its own then. */
function* batchesOf(
  submission: JobSubmission,
  { count, idempotencyKey: key }: SubmitOptions,
): Generator<JobSubmission[]> {
  const bytes = submission.inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
  const size = Math.max(1, Math.min(MAX_JOBS_AT_ONCE, Math.floor(MAX_BYTES_AT_ONCE / Math.max(1, bytes))));
  for (let from = 0; from < count; from += size) {
    yield Array.from({ length: Math.min(size, count - from) }, (_, index) =>
      key === undefined || count === 1 ? submission : { ...submission, idempotencyKey: `${key}-${from + index + 1}` },
    );
  }
}

/** Prints each as it has ended. @throws what the first failed with that did not succeed, when all have ended */
async function waitFor(client: JobsClient, jobs: readonly JobInfo[], options: SubmitOptions): Promise<void> {
  const bar = isWatchedByPerson() && !options.json ? new ProgressBar() : null;
  const note = (text: string) => (bar === null ? say(text) : bar.say(text));
  const ended: JobInfo[] = [];
  for (const job of jobs) {
    let last = job;
    for await (const update of followJob(client, job.id, options.timeoutMs, note)) {
      last = update.job;
      const done = Math.floor((ended.length * 1000) / jobs.length);
      bar?.show(
        jobs.length === 1 ? formatProgress(last) : `${formatBar(done)}  ${ended.length} of ${jobs.length} jobs`,
      );
    }
    ended.push(last);
    bar?.clear();
    if (!options.json) printData(last, {}, (each) => `${each.id}  ${describeState(each)}`);
  }
  if (options.json) printData(ended, options, () => "");
  const failures = ended.map(failureOf).filter((failure) => failure !== null);
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first;
  const count = `${failures.length} of ${plural(jobs.length, "job")} did not succeed; the first`;
  throw new SignetError(first.code, `${count}: ${first.message}`);
}

function collectInput(text: string, before: readonly InputWord[] = []): readonly InputWord[] {
  const word = parseInputWord(text);
  if (word === null) throw new InvalidArgumentError("Expected NAME=VALUE or NAME[SHAPE]=VALUE.");
  return [...before, word];
}

function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError(`Expected ${durationExamples}.`);
  return ms;
}
