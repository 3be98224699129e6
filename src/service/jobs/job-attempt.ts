import { type ErrorCode, SignetError } from "../../errors.ts";
import type { JobClaim, JobFailure, Renewal, Store } from "../../store/index.ts";
import type { Log } from "../../telemetry/index.ts";
import type { Identity } from "../access.ts";
import { noLimits } from "../call-quotas.ts";
import type { InferCall, InferenceEnd, InferenceResult } from "../infer-call.ts";
import type { Inference } from "../inference.ts";
import type { JobPayloads } from "./job-payloads.ts";
import { inputsOf } from "./job-request.ts";
import type { JobRoom } from "./job-room.ts";
import type { AttemptOutcome } from "./job-tally.ts";
import { bytesOf, formatTensorFile, parseTensorFile, type TensorFileHeader, tensorData } from "./tensor-file.ts";

export interface AttemptParts {
  readonly store: Store;
  readonly inference: Inference;
  readonly payloads: JobPayloads;
  /** A result for which there is none waits until there is. */
  readonly room: JobRoom;
  readonly log: Log;
}

/** What became of an attempt, as far as the service is concerned. */
export interface AttemptEnd {
  /** Why the service does not run jobs at the moment, where that is why this one never began. */
  readonly obstacle: SignetError | null;
  /** null where it was somebody else's by then. */
  readonly outcome: AttemptOutcome | null;
}

/** What ran and was lost may go well another time. */
const lostCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(["SERVICE_CRASHED", "SERVICE_OUT_OF_MEMORY", "SERVICE_UNRESPONSIVE", "SERVICE_PROTOCOL"] as const),
  "SHUTTING_DOWN",
]);
/** What never began waits for better times; so does all that the license refuses, which may be renewed. */
const passingCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(["SERVICE_NOT_READY", "SERVICE_UNLOADED", "SERVICE_QUARANTINED", "SERVICE_BUSY"] as const),
  ...(["QUEUE_FULL", "SHUTTING_DOWN"] as const),
  ...(["LEDGER_UNWRITABLE", "STORE_UNAVAILABLE", "SERVICE_START_FAILED"] as const),
]);
/** How long to wait before the store is told again what it could not be told, ms. */
const TELL_AGAIN_MS = 1000;

type Outcome =
  | { readonly type: "succeeded"; readonly pieces: readonly Uint8Array[]; readonly runMs: number }
  | { readonly type: "failed"; readonly error: SignetError };

/** A claimed job on its way through its service, and its outcome's way into the store. */
export class JobAttempt implements InferenceEnd {
  readonly claim: JobClaim;
  readonly #parts: AttemptParts;
  readonly #over = Promise.withResolvers<boolean>();
  readonly #outcome = Promise.withResolvers<Outcome>();
  #call: InferCall | undefined;
  #isCancelled = false;
  #isLost = false;

  constructor(parts: AttemptParts, claim: JobClaim) {
    this.#parts = parts;
    this.claim = claim;
  }

  get id(): string {
    return this.claim.job.id;
  }

  /** How far it is, for the store. */
  get renewal(): Renewal {
    const { permille = 0, stage = 0 } = this.#call?.progress ?? {};
    return { jobId: this.id, fence: this.claim.fence, progressPermille: permille, stage };
  }

  /** Asks native code to stop. What it has become is said when that has ended. */
  cancel(): void {
    this.#isCancelled = true;
    this.#call?.cancel();
  }

  /** It is somebody else's by now: what it does counts no more. */
  abandon(): void {
    this.#isLost = true;
    this.#call?.cancel();
  }

  /** Runs it to its end, and has that in the store. Never rejects. */
  async run(): Promise<AttemptEnd> {
    let isCharged = false;
    let outcome: Outcome;
    try {
      await this.#begin();
      [isCharged, outcome] = await Promise.all([this.#over.promise, this.#outcome.promise]);
    } catch (error) {
      outcome = { type: "failed", error: SignetError.from(error) };
    }
    if (this.#isLost) return { obstacle: null, outcome: null };
    return await this.#conclude(outcome, isCharged);
  }

  async #begin(): Promise<void> {
    const { inference, payloads } = this.#parts;
    const { job, inputs } = this.claim;
    const file = await payloads.read(inputs);
    const { header, dataAt } = parseTensorFile(file);
    const data = await Promise.all(
      tensorData(header, file, dataAt).map((view, index) => view ?? this.#readInput(header, index)),
    );
    const { service, version, priority, peer, deadlineMs } = job;
    if (this.#isCancelled) throw new SignetError("CANCELLED", "cancelled before it began");
    this.#call = inference.begin(
      jobIdentity(job),
      {
        ...{ service, version, priority, peer, id: header.requestId },
        inputs: inputsOf(header, data),
        outputs: header.wanted.map((output) => ({ ...output, place: null })),
        queueTimeoutMs: null,
        // A number, because a call without a deadline gets one.
        deadlineMs: deadlineMs === null ? Number.MAX_VALUE : performance.now() + (deadlineMs - Date.now()),
        lasting: { id: job.id, over: (charged) => this.#over.resolve(charged) },
      },
      this,
    );
    const { devices } = inference.find(service, version).runner;
    // A processor is where every other job runs, and not worth a word to the store.
    if (devices.length > 0)
      await this.#parts.store.place(job.id, this.claim.fence, devices.join(",")).catch(() => false);
  }

  async #readInput({ tensors }: TensorFileHeader, index: number): Promise<Uint8Array> {
    const { sha256, bytes } = tensors[index]!;
    return await this.#parts.payloads.readArtifact(sha256!, bytes);
  }

  // ---- how the call ends ----

  answered(result: InferenceResult): void {
    const tensors = result.outputs.map(({ name, datatype, shape, data }) => ({
      ...{ name, datatype, shape: [...shape], bytes: data.byteLength },
    }));
    const header = { requestId: "", tensors, wanted: [] };
    // Copied, because the slot that they lie in is another job's next.
    const data = result.outputs.map((output) => new Uint8Array(output.data));
    const runMs = Math.round(result.runMs * 1000) / 1000;
    result.release();
    this.#outcome.resolve({ type: "succeeded", pieces: formatTensorFile(header, data), runMs });
  }

  failed(error: SignetError): void {
    this.#outcome.resolve({ type: "failed", error });
  }

  // ---- what the store is told ----

  async #conclude(outcome: Outcome, isCharged: boolean): Promise<AttemptEnd> {
    const { store } = this.#parts;
    const { fence } = this.claim;
    const ended = (how: AttemptOutcome, obstacle: SignetError | null = null) => ({
      obstacle,
      outcome: this.#isLost ? null : how,
    });
    if (outcome.type === "succeeded") {
      const { runMs } = outcome;
      await this.#tell(async () => {
        const { payloads, room } = this.#parts;
        await room.verify(bytesOf(outcome.pieces));
        const outputs = await payloads.keep(outcome.pieces);
        await store.complete({ jobId: this.id, fence, runMs, outputs });
      });
      return ended("succeeded");
    }
    const { error } = outcome;
    if (this.#isCancelled) {
      await this.#tell(() => store.confirmCancelled(this.id, fence));
      return ended("cancelled");
    }
    if (!isCharged && isPassing(error)) {
      await this.#tell(() => store.giveBack(this.id, fence));
      return ended("given-back", error);
    }
    const { attempts, maxAttempts } = this.claim.job;
    const mayRetry = isCharged && lostCodes.has(error.code);
    await this.#tell(() => store.fail(this.id, fence, failureOf(error), mayRetry));
    return ended(mayRetry && attempts < maxAttempts ? "retried" : "failed");
  }

  /** Again and again while the store cannot be told: what is not told in time is somebody else's by then. */
  async #tell(action: () => Promise<unknown>): Promise<void> {
    for (let tries = 0; !this.#isLost; tries++) {
      try {
        await action();
        return;
      } catch (thrown) {
        const error = SignetError.from(thrown);
        if (error.code === "ARTIFACT_TOO_LARGE") {
          await this.#tell(() => this.#parts.store.fail(this.id, this.claim.fence, failureOf(error), false));
          return;
        }
        if (tries === 0) this.#parts.log.error({ err: error, jobId: this.id }, "how a job ended cannot be kept yet");
        await new Promise((resolve) => setTimeout(resolve, TELL_AGAIN_MS).unref());
      }
    }
  }
}

function isPassing({ code, exitCode }: SignetError): boolean {
  return passingCodes.has(code) || exitCode === 3;
}

export function failureOf({ code, message }: SignetError): JobFailure {
  return { code, message };
}

/** Who submitted a job was let in then; what it may, it may until the job ends. */
function jobIdentity({ identity, client }: JobClaim["job"]): Identity {
  return { id: identity, name: client, role: "client", limits: noLimits, require: () => {} };
}
