import type { JobEvent, StoredJob } from "../../store/index.ts";
import type { TensorFileHeader } from "./tensor-file.ts";

/** Of inputs and outputs of a job; null where they are gone or not there yet. */
export interface ReportedTensors {
  readonly inputs: TensorFileHeader | null;
  readonly outputs: TensorFileHeader | null;
}

/** All that is known of a job, as JSON that a person can read too. Its tensors are described, not repeated. */
export function reportJob(job: StoredJob, events: readonly JobEvent[], { inputs, outputs }: ReportedTensors): string {
  const { startedMs, submittedMs, endedMs } = job;
  const report = {
    job: job.id,
    service: job.service,
    version: job.version,
    state: job.state,
    client: job.client,
    requestId: inputs?.requestId || undefined,
    idempotencyKey: job.idempotencyKey ?? undefined,
    labels: job.labels,
    priority: job.priority,
    device: job.device ?? undefined,
    attempts: `${job.attempts} of ${job.maxAttempts}`,
    submitted: isoOf(submittedMs),
    started: isoOf(startedMs),
    ended: isoOf(endedMs),
    deadline: isoOf(job.deadlineMs),
    waitedMs: startedMs === null ? undefined : startedMs - submittedMs,
    runMs: job.runMs ?? undefined,
    error: job.failure ?? undefined,
    inputs: inputs?.tensors.map(describeTensor),
    outputs: outputs?.tensors.map(describeTensor),
    events: events.map(({ seq, timeMs, type, state, attempt, failure }) => ({
      ...{ seq, time: isoOf(timeMs), type, state, attempt },
      ...(failure === null ? {} : { error: failure }),
    })),
  };
  return JSON.stringify(report, null, 2);
}

function describeTensor({ name, datatype, shape, bytes, sha256 }: TensorFileHeader["tensors"][number]) {
  return { name, datatype, shape, bytes, ...(sha256 === undefined ? {} : { artifact: sha256 }) };
}

function isoOf(ms: number | null): string | undefined {
  return ms === null ? undefined : new Date(ms).toISOString();
}
