import type { Artifact, ArtifactPromise, ArtifactStore } from "../../artifacts/index.ts";
import { SignetError } from "../../errors.ts";
import { isFinal, type JobEvent, type JobState, type NewJob, type Store, type StoredJob } from "../../store/index.ts";
import type { Identity } from "../access.ts";
import type { InferInput, RequestedOutput } from "../infer-tensors.ts";
import type { Inference } from "../inference.ts";
import type { ArtifactCleaner } from "./artifact-cleaner.ts";
import { CallerShare } from "./caller-share.ts";
import { FairTurns } from "./fair-turns.ts";
import type { JobClaimer } from "./job-claimer.ts";
import type { JobHub } from "./job-hub.ts";
import type { JobPayloads } from "./job-payloads.ts";
import { reportJob } from "./job-report.ts";
import { type ArtifactInput, artifactEntries, digestOf, formatJobRequest } from "./job-request.ts";
import type { JobRoom } from "./job-room.ts";
import { type JobView, MAX_AHEAD, viewJob } from "./job-view.ts";
import { newLastingJobId } from "./new-job-id.ts";
import { parseTensorFile, type TensorEntry, type TensorFileHeader } from "./tensor-file.ts";
import { type JobTerms, verifyLabels, verifyStorable, verifyTensors, verifyTerms } from "./verify-job.ts";

/** A job as a client asks for it. */
export interface JobRequest extends JobTerms {
  readonly service: string;
  /** Empty for the licensed version. */
  readonly version: string;
  readonly inputs: readonly InferInput[];
  readonly artifactInputs: readonly ArtifactInput[];
  readonly outputs: readonly RequestedOutput[];
}

export interface JobQuery {
  /** Empty for every service. */
  readonly service: string;
  readonly states: readonly JobState[];
  readonly labels: Readonly<Record<string, string>>;
  readonly isOwn: boolean;
  readonly pageSize: number;
  readonly after: string | null;
}

export interface JobChange {
  readonly view: JobView;
  /** null where only its progress changed, and first of all. */
  readonly event: JobEvent | null;
}

export interface JobResultStream {
  readonly job: StoredJob;
  readonly outputs: readonly TensorEntry[];
  /** Their bytes in this order. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface JobsOptions {
  readonly store: Store;
  readonly artifacts: ArtifactStore;
  readonly cleaner: ArtifactCleaner;
  readonly room: JobRoom;
  readonly payloads: JobPayloads;
  readonly inference: Inference;
  readonly claimer: JobClaimer;
  readonly hub: JobHub;
  /** How often the store is asked about a job that is watched, for what other hosts do with it, ms. */
  readonly pollMs: number;
  readonly maxAttempts: number;
  readonly maxQueued: number;
  readonly maxArtifactBytes: number;
}

/** Where a job without a priority stands among those with one. */
const NORMAL_PRIORITY = 100;
const MAX_JOBS_AT_ONCE = 1000;
/** How often those who watch are told of progress, ms. */
const LOOK_MS = 250;
const PIECE_BYTES = 256 * 1024;
/**
 * What clients have the store do at a time. Whoever asks more waits here and not before the store, where it would keep
 * the leases of running jobs from being renewed.
 */
const MOST_ASKED = 16;
/** Of what may take a second where there are very many jobs. */
const MOST_LONG = 2;
/**
 * Uploads and results of one caller under way. Each has a file open for as long as its client takes, and a process that
 * has no more files to open cannot write its ledger.
 */
const MOST_STREAMS = 64;
/** Objects of one caller's requests that wait to be accepted: a hundred bytes of memory each, of a few on the wire. */
const MOST_PARTS = 512 * 1024;
/** So many jobs in one call take long. */
const MANY_JOBS = 100;

/** What clients can do with jobs that outlive their call. A client sees its own; an operator those of all. */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #turns = new FairTurns(MOST_ASKED);
  readonly #longTurns = new FairTurns(MOST_LONG);
  readonly #streams = new CallerShare(MOST_STREAMS, "uploads and results");
  readonly #submitting = new CallerShare(MOST_PARTS, "parts of jobs that are being submitted");

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /**
   * Accepts all of these jobs, or none.
   * @param peer the client's address
   * @param parts how many objects the requests were made of when they came
   * @throws REQUEST_MALFORMED, REQUEST_TOO_LARGE, SERVICE_NOT_FOUND, PERMISSION_DENIED, ARTIFACT_NOT_FOUND,
   * JOB_KEY_REUSED, JOB_QUEUE_FULL, TOO_MANY_CALLS, STORE_FULL, STORE_UNAVAILABLE
   */
  async submit(identity: Identity, peer: string, requests: readonly JobRequest[], parts: number): Promise<JobView[]> {
    const giveBack = this.#submitting.take(identity, parts);
    try {
      return await this.#submit(identity, peer, requests);
    } finally {
      giveBack();
    }
  }

  async #submit(identity: Identity, peer: string, requests: readonly JobRequest[]): Promise<JobView[]> {
    if (requests.length === 0 || requests.length > MAX_JOBS_AT_ONCE) {
      const words = `jobs: expected 1 to ${MAX_JOBS_AT_ONCE}, found ${requests.length}`;
      throw new SignetError("REQUEST_MALFORMED", words);
    }
    const { hub, claimer, cleaner, room, maxQueued } = this.#options;
    await room.verify(requests.reduce((sum, request) => sum + bytesOf(request), 0));
    const release = cleaner.hold(requests.flatMap(({ artifactInputs }) => artifactInputs.map(({ sha256 }) => sha256)));
    let stored: readonly StoredJob[];
    try {
      const jobs: NewJob[] = [];
      // One after the other, so that one call does not hold all of its artifacts' files open.
      for (const [index, request] of requests.entries()) {
        jobs.push(await this.#accept(identity, peer, request).catch((error) => Promise.reject(inJob(index, error))));
      }
      const turns = jobs.length > MANY_JOBS ? this.#longTurns : this.#turns;
      stored = await this.#ask(identity, (store) => store.submit(jobs, maxQueued), turns);
    } finally {
      release();
    }
    for (const { id } of stored) hub.changed(id);
    for (const service of new Set(stored.map((job) => job.service))) claimer.wake(service);
    return stored.map((job) => this.#view(job, null));
  }

  /** @throws JOB_NOT_FOUND, STORE_UNAVAILABLE; so too for all that names a job */
  async status(identity: Identity, jobId: string): Promise<JobView> {
    const job = await this.#find(identity, jobId);
    const ahead = job.state === "queued" ? await this.#ask(identity, (store) => store.ahead(jobId, MAX_AHEAD)) : null;
    return this.#view(job, ahead);
  }

  /** JSON for people: all that is known of the job. */
  async report(identity: Identity, jobId: string): Promise<string> {
    const job = await this.#find(identity, jobId);
    const events = await this.#ask(identity, (store) => store.events(jobId, 0));
    const inputs = await this.#header(await this.#ask(identity, (store) => store.inputs(jobId)));
    const outputs = await this.#header(await this.#ask(identity, (store) => store.outputs(jobId)));
    return reportJob(job, events, { inputs, outputs });
  }

  /** The job as it is, then each of its events after `afterSeq` and its progress, until it has ended. */
  async *watch(identity: Identity, jobId: string, afterSeq: number, signal: AbortSignal): AsyncGenerator<JobChange> {
    const { hub, pollMs } = this.#options;
    let wake = Promise.withResolvers<void>();
    let isStale = true;
    const stop = hub.watch(jobId, () => {
      isStale = true;
      wake.resolve();
    });
    const onAbort = () => wake.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      let told = await this.status(identity, jobId);
      let seq = afterSeq;
      let askedMs = Number.NEGATIVE_INFINITY;
      yield { view: told, event: null };
      told = this.#view(told.job, null); // as it is compared from now on
      while (!signal.aborted) {
        wake = Promise.withResolvers<void>();
        let { job } = told;
        // The store is asked when something happened here, and now and then because of others; progress is at hand.
        if (isStale || performance.now() - askedMs >= pollMs) {
          isStale = false;
          askedMs = performance.now();
          // In this order, so that no event is told with a state from before it.
          const after = seq;
          const events = await this.#ask(identity, (store) => store.events(jobId, after));
          job = await this.#find(identity, jobId);
          for (const event of events) {
            seq = event.seq;
            yield { view: this.#view(job, null), event };
            told = { ...told, waitsFor: "" }; // what it waits for after that is told
          }
          // More happened meanwhile. Not at once, since the store's rows may be wrong and an event never come.
          if (seq < job.seq) isStale = true;
          else if (isFinal(job.state)) return;
        }
        const view = this.#view(job, null);
        if (isNews(view, told)) yield { view, event: null };
        told = view;
        if (hub.isClosed) throw new SignetError("SHUTTING_DOWN", `job ${jobId} is ${job.state}`);
        const timer = setTimeout(wake.resolve, LOOK_MS);
        await wake.promise;
        clearTimeout(timer);
      }
    } finally {
      stop();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** A queued job is cancelled at once, a running one when its native code has ended; one that has ended stays as it is. */
  async cancel(identity: Identity, jobId: string): Promise<JobView> {
    await this.#find(identity, jobId);
    const { claimer, hub } = this.#options;
    const job = await this.#ask(identity, (store) => store.cancel(jobId));
    if (job === undefined) throw notFound(jobId);
    if (job.isCancelRequested) claimer.attempt(jobId)?.cancel();
    hub.changed(jobId);
    return this.#view(job, null);
  }

  async list(identity: Identity, query: JobQuery): Promise<{ readonly jobs: JobView[]; readonly next: string | null }> {
    const { service, states, labels, isOwn, pageSize, after } = query;
    verifyLabels(labels);
    verifyStorable("model_name", service);
    const seesAll = !isOwn && mayOperate(identity, service === "" ? undefined : service);
    if (!seesAll) identity.require("metadata");
    const filter = {
      ...(seesAll ? {} : { identity: identity.id }),
      ...(service === "" ? {} : { service }),
      ...(states.length === 0 ? {} : { states }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    };
    const { jobs, next } = await this.#ask(identity, (store) => store.list(filter, pageSize, after), this.#longTurns);
    return { jobs: jobs.map((job) => this.#view(job, null)), next };
  }

  /** @throws JOB_NOT_DONE; its bytes TOO_MANY_CALLS */
  async result(identity: Identity, jobId: string): Promise<JobResultStream> {
    const job = await this.#find(identity, jobId);
    const outputs = await this.#ask(identity, (store) => store.outputs(jobId));
    if (outputs === undefined) {
      const why = job.failure === null ? "" : ` (${job.failure.code})`;
      throw new SignetError("JOB_NOT_DONE", `job ${jobId}: expected one that succeeded, found it ${job.state}${why}`);
    }
    const { payloads } = this.#options;
    const { header, dataAt } = await payloads.head(outputs, parseTensorFile);
    const bytes = this.#streams.hold(identity, payloads.stream(outputs, dataAt, PIECE_BYTES));
    return { job, outputs: header.tensors, bytes };
  }

  /**
   * Keeps bytes that jobs can have as inputs.
   * @throws TOO_MANY_CALLS, ARTIFACT_TOO_LARGE, ARTIFACT_MISMATCH, STORE_FULL, STORE_UNAVAILABLE, and what the source fails with
   */
  async upload(identity: Identity, source: AsyncIterable<Uint8Array>, promise: ArtifactPromise): Promise<Artifact> {
    identity.require("share");
    const { artifacts, room, maxArtifactBytes } = this.#options;
    await room.verify(promise.bytes ?? 0);
    return await artifacts.put(this.#streams.hold(identity, room.watch(source)), maxArtifactBytes, promise);
  }

  async #accept(identity: Identity, peer: string, request: JobRequest): Promise<NewJob> {
    identity.require("infer", request.service);
    verifyTerms(request);
    const { inference, artifacts, payloads, maxAttempts } = this.#options;
    const service = inference.find(request.service, request.version);
    const uploaded = await artifactEntries(artifacts, request.artifactInputs, service.conf.inputs);
    verifyTensors(service, request.inputs, uploaded, request.outputs);
    const wanted = request.outputs.map(({ name, classes }) => ({ name, classes }));
    const pieces = formatJobRequest(request.id, request.inputs, uploaded, wanted);
    const { timeoutMs, labels, idempotencyKey, priority } = request;
    const { name, version } = service.conf;
    const inputs = await payloads.keep(pieces);
    const referenced = [...uploaded.map(({ sha256 }) => sha256!), ...("sha256" in inputs ? [inputs.sha256] : [])];
    return {
      id: newLastingJobId(),
      ...{ identity: identity.id, client: identity.name, peer, service: name, version, labels, maxAttempts, inputs },
      priority: priority === 0 ? NORMAL_PRIORITY : priority,
      deadlineMs: timeoutMs === 0 ? null : Date.now() + timeoutMs,
      idempotencyKey: idempotencyKey === "" ? null : idempotencyKey,
      requestDigest: digestOf({ name, version, timeoutMs, labels, priority }, pieces),
      artifacts: [...new Set(referenced)],
    };
  }

  /** A job that the caller may see. Of others it is not even said that they are there. */
  async #find(identity: Identity, jobId: string): Promise<StoredJob> {
    identity.require("metadata");
    const job = JOB_ID.test(jobId) ? await this.#ask(identity, (store) => store.get(jobId)) : undefined;
    if (job === undefined || (job.identity !== identity.id && !mayOperate(identity, job.service)))
      throw notFound(jobId);
    return job;
  }

  /** Something of the store, in a turn of the caller's. */
  async #ask<T>(identity: Identity, question: (store: Store) => Promise<T>, turns = this.#turns): Promise<T> {
    try {
      return await turns.run(identity.id, () => question(this.#options.store));
    } catch (thrown) {
      throw withoutPlace(thrown);
    }
  }

  async #header(payload: Parameters<JobPayloads["head"]>[0] | undefined): Promise<TensorFileHeader | null> {
    if (payload === undefined) return null;
    const { header } = await this.#options.payloads.head(payload, parseTensorFile);
    return header;
  }

  #view(job: StoredJob, ahead: number | null): JobView {
    return viewJob(job, ahead, this.#options.inference, this.#options.claimer);
  }
}

const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function notFound(jobId: string): SignetError {
  return new SignetError("JOB_NOT_FOUND", `job ${JSON.stringify(jobId.slice(0, 64))}: there is none`);
}

/** Where the store lies and who may log in there is for the log, which has it from the claimer, and not for clients. */
function withoutPlace(thrown: unknown): SignetError {
  const error = SignetError.from(thrown);
  if (error.code !== "STORE_UNAVAILABLE" && error.code !== "STORE_UNUSABLE") return error;
  return new SignetError(error.code, "the store of jobs does not work at the moment", { cause: error });
}

function mayOperate(identity: Identity, service: string | undefined): boolean {
  try {
    identity.require("operate", service);
    return true;
  } catch {
    return false;
  }
}

/** Whether there is more to tell of a job that nothing happened to. */
function isNews(view: JobView, told: JobView): boolean {
  const isFarther = view.progressPermille !== told.progressPermille || view.stage !== told.stage;
  return isFarther || view.waitsFor !== told.waitsFor;
}

function bytesOf({ inputs }: JobRequest): number {
  return inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** Says which of many jobs it is about. */
function inJob(index: number, thrown: unknown): SignetError {
  const error = SignetError.from(thrown);
  return error.code === "INTERNAL"
    ? error
    : new SignetError(error.code, `jobs[${index}]: ${error.message}`, { cause: error });
}
