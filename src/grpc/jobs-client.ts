import { SignetError } from "../errors.ts";
import { isDatatype, type Tensor } from "../tensor/index.ts";
import {
  type ArtifactInputMessage,
  type ArtifactMessage,
  type DoJobsRequestMessage,
  type JobErrorMessage,
  type JobEventMessage,
  type JobStatusMessage,
  jobService,
  type ListJobsRequestMessage,
  type ResultMessage,
  type WatchJobMessage,
} from "./job-messages.ts";
import { type ClientOptions, ServiceClient } from "./service-client.ts";

/** What a job of one service is asked to do. */
export interface JobSubmission {
  readonly service: string;
  readonly inputs: readonly Tensor[];
  readonly artifactInputs: readonly ArtifactInputMessage[];
  /** 0 for the usual one. */
  readonly priority: number;
  /** Empty for none. */
  readonly idempotencyKey: string;
  /** 0 for none. */
  readonly timeoutMs: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** A job as the server tells of it. Times are in ISO 8601, null for not yet. */
export interface JobInfo {
  readonly id: string;
  readonly service: string;
  readonly version: string;
  /** `queued`, `running`, `succeeded`, `failed` or `cancelled`; a newer server may have others. */
  readonly state: string;
  readonly cancelRequested: boolean;
  readonly progressPermille: number;
  readonly stage: number;
  readonly remainingMs: number | null;
  readonly waitsFor: string;
  readonly device: string | null;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly error: JobErrorMessage | null;
  readonly submittedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly deadlineAt: string | null;
  readonly runMs: number | null;
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly idempotencyKey: string | null;
  readonly client: string;
}

export interface JobEventInfo {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly state: string;
  readonly attempt: number;
  readonly error: JobErrorMessage | null;
}

export interface JobUpdate {
  readonly job: JobInfo;
  /** null where only its progress changed, and first of all. */
  readonly event: JobEventInfo | null;
}

export interface JobFilter {
  /** Empty for all. */
  readonly service: string;
  readonly states: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly own: boolean;
}

/** An output of a job, whose bytes come after those of the outputs before it. */
export interface ResultOutput extends Omit<Tensor, "data"> {
  readonly bytes: number;
}

export interface ResultDownload {
  readonly outputs: readonly ResultOutput[];
  /** To be read to its end, or left. */
  readonly chunks: AsyncGenerator<Uint8Array>;
}

/** A small client of signet.v1.JobService. Its errors are the server's own, by code. */
export class JobsClient {
  readonly #client: ServiceClient;

  /** @throws as ServiceClient */
  constructor(options: ClientOptions) {
    this.#client = new ServiceClient(jobService(), options);
  }

  /** All of them are accepted, or none. */
  async submit(submissions: readonly JobSubmission[]): Promise<JobInfo[]> {
    const jobs = submissions.map(messageOf) as DoJobsRequestMessage["jobs"];
    return (await this.#client.call<{ jobs: JobStatusMessage[] }>("DoJobs", { jobs })).jobs.map(infoOf);
  }

  /** @returns the report only where it is asked for: JSON for people */
  async status(jobId: string, withReport = false): Promise<{ readonly job: JobInfo; readonly report: string }> {
    const request = { job_id: jobId, report: withReport };
    const { status, report } = await this.#client.call<{ status: JobStatusMessage; report: string }>(
      "GetStatus",
      request,
    );
    return { job: infoOf(status), report };
  }

  async cancel(jobId: string): Promise<JobInfo> {
    return infoOf((await this.#client.call<{ status: JobStatusMessage }>("CancelJob", { job_id: jobId })).status);
  }

  /** @param pageToken of the page before; empty for the first */
  async list({ service, states, labels, own }: JobFilter, pageSize: number, pageToken: string) {
    const request: ListJobsRequestMessage = {
      ...{ model_name: service, labels: { ...labels }, own, page_size: pageSize, page_token: pageToken },
      states: states.map((state) => `${STATE_PREFIX}${state.toUpperCase()}`),
    };
    type Page = { readonly jobs: JobStatusMessage[]; readonly next_page_token: string };
    const { jobs, next_page_token: next } = await this.#client.call<Page>("ListJobs", request);
    return { jobs: jobs.map(infoOf), next };
  }

  /** The job as it is, then what happens to it after `afterSeq` until it has ended. */
  async *watch(jobId: string, afterSeq: number): AsyncGenerator<JobUpdate> {
    const request = { job_id: jobId, after_seq: afterSeq };
    for await (const { status, event } of this.#client.stream<WatchJobMessage>("WatchJob", request)) {
      yield { job: infoOf(status), event: event === null ? null : eventOf(event) };
    }
  }

  async result(jobId: string): Promise<ResultDownload> {
    const messages = this.#client.stream<ResultMessage>("GetResult", { job_id: jobId });
    const first = await messages.next();
    const header = first.done ? undefined : first.value.header;
    if (!header) throw new SignetError("INTERNAL", "the server's answer does not begin with what the result is");
    const outputs = header.outputs.map(({ name, datatype, shape, byte_size: bytes }) => {
      if (!isDatatype(datatype)) throw new SignetError("INTERNAL", `output ${name}: a datatype of no known name`);
      return { name, datatype, shape: shape.map(Number), bytes: Number(bytes) };
    });
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for await (const { chunk } of messages) if (chunk) yield chunk;
    }
    return { outputs, chunks: chunks() };
  }

  /** @param bytes how many will come */
  async upload(chunks: AsyncIterable<Uint8Array>, bytes: number): Promise<{ sha256: string; bytes: number }> {
    async function* messages() {
      yield { promise: { sha256: "", byte_size: bytes } };
      for await (const chunk of chunks) yield { chunk };
    }
    const artifact = await this.#client.upload<ArtifactMessage>("UploadArtifact", messages());
    return { sha256: artifact.sha256, bytes: Number(artifact.byte_size) };
  }

  close(): void {
    this.#client.close();
  }
}

const STATE_PREFIX = "JOB_STATE_";

function messageOf(submission: JobSubmission) {
  const { service, inputs, artifactInputs, priority, idempotencyKey, timeoutMs, labels } = submission;
  return {
    request: {
      model_name: service,
      inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
      parameters: priority === 0 ? {} : { priority: { int64_param: priority } },
      raw_input_contents: inputs.map(({ data }) => data),
    },
    artifact_inputs: artifactInputs,
    ...{ idempotency_key: idempotencyKey, timeout_ms: timeoutMs, labels },
  };
}

function infoOf(status: JobStatusMessage): JobInfo {
  const { cancel_requested: cancelRequested, progress_permille: progressPermille } = status;
  const { waits_for: waitsFor, max_attempts: maxAttempts } = status;
  const { stage, attempts, error, labels, client } = status;
  const remainingMs = Number(status.remaining_ms);
  return {
    id: status.job_id,
    service: status.model_name,
    version: status.model_version,
    state: stateOf(status.state),
    ...{ cancelRequested, progressPermille, stage, remainingMs: remainingMs < 0 ? null : remainingMs, waitsFor },
    device: status.device === "" ? null : status.device,
    ...{ attempts, maxAttempts, error },
    submittedAt: timeOf(status.submitted_ms)!,
    startedAt: timeOf(status.started_ms),
    endedAt: timeOf(status.ended_ms),
    deadlineAt: timeOf(status.deadline_ms),
    runMs: status.run_ms === 0 ? null : status.run_ms,
    priority: Number(status.priority),
    labels,
    idempotencyKey: status.idempotency_key === "" ? null : status.idempotency_key,
    client,
  };
}

function eventOf({ seq, time_ms: timeMs, type, state, attempt, error }: JobEventMessage): JobEventInfo {
  return { seq: Number(seq), at: timeOf(timeMs)!, type, state: stateOf(state), attempt, error };
}

function stateOf(name: string): string {
  return name.replace(STATE_PREFIX, "").toLowerCase();
}

function timeOf(ms: string | number): string | null {
  return Number(ms) === 0 ? null : new Date(Number(ms)).toISOString();
}
