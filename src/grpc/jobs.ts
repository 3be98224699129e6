import type { ServerReadableStream } from "@grpc/grpc-js";
import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import type { JobChange, JobRequest, Jobs, JobView } from "../service/index.ts";
import { type JobEvent, type JobState, jobStates, type StoredJob } from "../store/index.ts";
import { quoteName } from "../tensor/index.ts";
import { answering } from "./call.ts";
import { authenticateAgain, identityNameOf, identityOf, peerOf } from "./call-gate.ts";
import { grpcStatusFromError } from "./errors.ts";
import type {
  ArtifactMessage,
  JobErrorMessage,
  JobEventMessage,
  JobHandlers,
  JobRequestMessage,
  JobStatusMessage,
  UploadMessage,
} from "./job-messages.ts";
import { pour } from "./pour.ts";
import { decodeInferRequest } from "./tensors.ts";

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1000;

/** The calls of signet.v1.JobService: decode, ask the service, encode. */
export function jobHandlers({ jobs, audit }: { readonly jobs: Jobs; readonly audit: AuditLog }): JobHandlers {
  const answer = answering(audit);
  const refused = (call: Parameters<typeof identityOf>[0] & { getPeer(): string }, thrown: unknown) => {
    const { code } = SignetError.from(thrown);
    if (code === "PERMISSION_DENIED") audit.refused({ code, identity: identityNameOf(call), peer: peerOf(call) });
    return grpcStatusFromError(thrown);
  };
  return {
    DoJobs: answer(async (call) => {
      const { jobs: messages, malformed: failure, parts = 0 } = call.request;
      if (failure !== undefined) throw failure;
      const requests = messages.map(decodeJob);
      const views = await jobs.submit(identityOf(call), peerOf(call), requests, parts);
      return { jobs: views.map(encodeStatus) };
    }),
    GetStatus: answer(async (call) => {
      const { job_id: jobId, report } = call.request;
      const identity = identityOf(call);
      const view = await jobs.status(identity, jobId);
      return { status: encodeStatus(view), report: report ? await jobs.report(identity, jobId) : "" };
    }),
    CancelJob: answer(async (call) => ({
      status: encodeStatus(await jobs.cancel(identityOf(call), call.request.job_id)),
    })),
    ListJobs: answer(async (call) => {
      const { model_name: service, states, labels, page_size: size, page_token: token, own: isOwn } = call.request;
      if (size < 0 || size > MAX_PAGE_SIZE) throw malformed(`page_size: expected 0 to ${MAX_PAGE_SIZE}, found ${size}`);
      const page = await jobs.list(identityOf(call), {
        ...{ service, labels, isOwn, states: states.map(decodeState) },
        pageSize: size === 0 ? DEFAULT_PAGE_SIZE : size,
        after: token === "" ? null : token,
      });
      return { jobs: page.jobs.map(encodeStatus), next_page_token: page.next ?? "" };
    }),
    WatchJob: (call) => {
      const controller = new AbortController();
      call.on("cancelled", () => controller.abort());
      const { job_id: jobId, after_seq: afterText } = call.request;
      // More than any job has; a database's integers end before those of the wire.
      const afterSeq = Math.min(Number(afterText), Number.MAX_SAFE_INTEGER);
      void pour(call, refused, async function* () {
        for await (const change of jobs.watch(identityOf(call), jobId, afterSeq, controller.signal)) {
          authenticateAgain(call);
          yield encodeChange(change);
        }
      });
    },
    GetResult: (call) => {
      void pour(call, refused, async function* () {
        const { job, outputs, bytes } = await jobs.result(identityOf(call), call.request.job_id);
        const tensors = outputs.map(({ name, datatype, shape, bytes: size }) => ({
          ...{ name, datatype, shape: [...shape], byte_size: size },
        }));
        yield { header: { model_name: job.service, model_version: job.version, outputs: tensors } };
        for await (const chunk of bytes) {
          authenticateAgain(call);
          yield { chunk };
        }
      });
    },
    UploadArtifact: (call, callback) => {
      upload(jobs, call).then(
        (artifact) => callback(null, artifact),
        (thrown) => callback(refused(call, thrown)),
      );
    },
  };
}

async function upload(
  jobs: Jobs,
  call: ServerReadableStream<UploadMessage, ArtifactMessage>,
): Promise<ArtifactMessage> {
  const identity = identityOf(call);
  const messages = call[Symbol.asyncIterator]() as AsyncIterator<UploadMessage>;
  const first = await messages.next();
  const promise = first.done ? undefined : (first.value.promise ?? undefined);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    let next = promise === undefined ? first : await messages.next();
    for (; !next.done; next = await messages.next()) {
      const { chunk } = next.value;
      if (chunk === undefined || next.value.promise) throw malformed("expected a promise first, and only pieces then");
      authenticateAgain(call);
      yield chunk;
    }
    if (call.cancelled) throw new SignetError("CANCELLED", "the client cancelled the upload");
  }
  const sizeText = promise?.byte_size ?? 0;
  const { sha256, bytes } = await jobs.upload(identity, chunks(), {
    sha256: promise?.sha256 ? promise.sha256 : null,
    bytes: Number(sizeText) === 0 ? null : Number(sizeText),
  });
  return { sha256, byte_size: bytes };
}

function decodeJob(message: JobRequestMessage, index: number): JobRequest {
  const { request, artifact_inputs: artifacts, idempotency_key: idempotencyKey, timeout_ms: timeout, labels } = message;
  if (request === null) throw malformed(`jobs[${index}].request: expected a ModelInferRequest, found none`);
  const { service, version, id, inputs, outputs, priority } = decodeInferRequest(request);
  return {
    ...{ service, version, id, inputs, outputs, priority, idempotencyKey, labels, timeoutMs: Number(timeout) },
    artifactInputs: artifacts.map(({ name, sha256, datatype, shape }) => ({
      ...{ name, sha256, datatype, shape: shape.map(Number) },
    })),
  };
}

function encodeStatus({ job, progressPermille, stage, remainingMs, waitsFor }: JobView): JobStatusMessage {
  return {
    job_id: job.id,
    model_name: job.service,
    model_version: job.version,
    state: encodeState(job.state),
    cancel_requested: job.isCancelRequested,
    progress_permille: progressPermille,
    stage,
    remaining_ms: remainingMs ?? -1,
    waits_for: waitsFor,
    device: job.device ?? "",
    attempts: job.attempts,
    max_attempts: job.maxAttempts,
    error: encodeError(job.failure),
    submitted_ms: job.submittedMs,
    started_ms: job.startedMs ?? 0,
    ended_ms: job.endedMs ?? 0,
    deadline_ms: job.deadlineMs ?? 0,
    run_ms: job.runMs ?? 0,
    priority: job.priority,
    labels: { ...job.labels },
    idempotency_key: job.idempotencyKey ?? "",
    client: job.client,
    seq: job.seq,
  };
}

function encodeChange({ view, event }: JobChange) {
  return { status: encodeStatus(view), event: event === null ? null : encodeEvent(event) };
}

function encodeEvent({ seq, timeMs, type, state, attempt, failure }: JobEvent): JobEventMessage {
  return { seq, time_ms: timeMs, type, state: encodeState(state), attempt, error: encodeError(failure) };
}

function encodeError(failure: StoredJob["failure"]): JobErrorMessage | null {
  return failure === null ? null : { ...failure };
}

const STATE_PREFIX = "JOB_STATE_";

function encodeState(state: JobState): string {
  return `${STATE_PREFIX}${state.toUpperCase()}`;
}

function decodeState(text: string): JobState {
  const state = jobStates.find((each) => encodeState(each) === text);
  if (state === undefined) throw malformed(`states: expected states of a job, found ${quoteName(text)}`);
  return state;
}

function malformed(message: string): SignetError {
  return new SignetError("REQUEST_MALFORMED", message);
}
