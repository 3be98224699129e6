import type { Charge, Job, JobEnd, JobResult, SubmittedJob } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import { isNearEnd, type LicenseTime, type RunTicket } from "../license/index.ts";
import { isoNow, type RunLog } from "../telemetry/index.ts";
import type { Tensor } from "../tensor/index.ts";
import type { Identity } from "./access.ts";
import { type AnsweredOutput, type InferInput, InferTensors, type RequestedOutput } from "./infer-tensors.ts";
import type { Service } from "./inference.ts";
import { newJobId } from "./job-id.ts";
import type { Lookup, ResponseCache } from "./response-cache.ts";
import { FilesTouchedError, type SecondAuthorization } from "./second-authorization.ts";
import type { ServiceStatistics } from "./service-statistics.ts";
import type { SharedMemory } from "./shared-memory.ts";
import type { Trace, Tracing } from "./tracing.ts";

/** What a client asks for. */
export interface InferenceCall {
  readonly service: string;
  /** Empty for the licensed version. */
  readonly version: string;
  /** The client's own id for the request, for traces; may be empty. */
  readonly id: string;
  readonly inputs: readonly InferInput[];
  /** The wanted outputs, in the order of the answer; empty for all. */
  readonly outputs: readonly RequestedOutput[];
  /** 0 is normal, 1 most urgent, larger less urgent. */
  readonly priority: number;
  /** The client's address, for the run log. */
  readonly peer: string;
  readonly queueTimeoutMs: number | null;
  /** When the client stops waiting, on the clock of performance.now(); Infinity where it does not say. */
  readonly deadlineMs: number;
  /** For a job that outlives the call it came by. */
  readonly lasting?: LastingJob;
}

/** A job that has a name already, and whose answer never comes from a cache. */
export interface LastingJob {
  readonly id: string;
  /** Native code is done with it, or never began it. @param charged whether it was a run */
  over(charged: boolean): void;
}

export interface InferenceResult {
  readonly version: string;
  /** Their bytes may lie in memory that is used again after `release`; who keeps them copies them. */
  readonly outputs: readonly AnsweredOutput[];
  /** Time in native code; 0 for an answer from the cache. */
  readonly runMs: number;
  /** Where the service's license stands; null while its end is far. */
  readonly nearEnd: LicenseTime | null;
  /** Nobody reads the outputs any more. Twice is once. */
  release(): void;
}

/** Who hears how a call ended: one of the two, once, and that may be while the call is being made. */
export interface InferenceEnd {
  answered(result: InferenceResult): void;
  failed(error: SignetError): void;
}

/** What all calls have in common. */
export interface InferCallParts {
  readonly runLog: RunLog;
  readonly sharedMemory: SharedMemory;
  readonly tracing: Tracing;
  readonly responseCache: ResponseCache;
  /** The service as it is now; the license may have been renewed since the call came. */
  present(service: Service): Service;
  /** What a call failed with is more than its caller's business. */
  report(service: Service, jobId: string, error: SignetError): void;
}

/** Where a call without a priority stands among those with one. */
const NORMAL_PRIORITY = 100;
/** An installation touches a file a few times; somebody who goes on touching it is not waited for. */
const MAX_TRIES = 5;

/**
 * One call on its way through the checks, its service and back. No promise is made for it, so that a small call costs
 * little: it is the job, its charge and who hears of its end in one.
 */
export class InferCall implements Job, JobEnd, Charge, InferenceResult {
  inputs: readonly Tensor[] = [];
  readonly priority: number;
  readonly deadlineMs: number;
  readonly queueTimeoutMs: number | null;
  readonly runLimitMs: number;
  readonly version: string;
  outputs: readonly AnsweredOutput[] = [];
  nearEnd: LicenseTime | null = null;

  readonly #parts: InferCallParts;
  readonly #service: Service;
  readonly #statistics: ServiceStatistics;
  readonly #identity: Identity;
  readonly #peer: string;
  readonly #end: InferenceEnd;
  readonly #lasting: LastingJob | undefined;
  readonly #jobId: string;
  readonly #arrivedMs = performance.now();
  readonly #trace: Trace | undefined;
  #tensors: InferTensors | undefined;
  #submitted: SubmittedJob | undefined;
  #result: JobResult | undefined;
  #lookup: Lookup | undefined;
  #authorization: SecondAuthorization | undefined;
  #ticket: RunTicket | undefined;
  #startedMs = Number.NaN;
  #tries = 0;
  #isHashing = false;
  #isOver = false;
  #outcome = "OK";
  #durationMs = 0;

  constructor(
    parts: InferCallParts,
    { service, statistics }: { readonly service: Service; readonly statistics: ServiceStatistics },
    identity: Identity,
    call: InferenceCall,
    end: InferenceEnd,
  ) {
    const { conf, callTimeoutMs } = service;
    const { jobTimeMs } = conf.limits;
    this.#parts = parts;
    this.#service = service;
    this.#statistics = statistics;
    this.#identity = identity;
    this.#peer = call.peer;
    this.#end = end;
    this.#lasting = call.lasting;
    this.#jobId = call.lasting?.id ?? newJobId();
    this.version = conf.version;
    this.priority = call.priority === 0 ? NORMAL_PRIORITY : call.priority;
    this.queueTimeoutMs = call.queueTimeoutMs;
    this.runLimitMs = jobTimeMs ?? Number.POSITIVE_INFINITY;
    // No call waits for ever: without a deadline of its own it gets time to wait, and time to run as licensed.
    const allowedMs = this.#arrivedMs + callTimeoutMs + (jobTimeMs ?? 0);
    this.deadlineMs = call.deadlineMs === Number.POSITIVE_INFINITY ? allowedMs : call.deadlineMs;
    statistics.begin();
    this.#trace = parts.tracing.begin(conf, call.id, this.#arrivedMs);
  }

  /** Makes the call. */
  start(call: Pick<InferenceCall, "inputs" | "outputs">): void {
    const service = this.#service;
    const { sharedMemory } = this.#parts;
    try {
      // Refused early, before the request is looked at, is what would be refused anyway.
      service.authorization.verifyTime();
      this.#tensors = new InferTensors(service, call, (place) => sharedMemory.open(this.#identity, place));
      this.inputs = this.#tensors.inputs;
    } catch (error) {
      this.failed(SignetError.from(error));
      return;
    }
    if (service.isCached && this.#lasting === undefined) this.#lookUp();
    else this.#enter();
  }

  /** Time in native code. */
  get runMs(): number {
    return this.#durationMs;
  }

  /** How far native code is; undefined where it is not at it. */
  get progress(): SubmittedJob["progress"] {
    return this.#submitted?.progress;
  }

  /** In the run log, and with what the plugin prints meanwhile. */
  get id(): string {
    return this.#jobId;
  }

  /** The caller is gone. */
  cancel(): void {
    const error = new SignetError("CANCELLED", `${this.#service.conf.name}: the caller cancelled`);
    if (this.#isHashing) this.failed(error);
    else this.#submitted?.cancel(error);
  }

  /** Nobody reads the outputs any more. */
  release(): void {
    this.#result?.release();
  }

  /** What was answered before is given again only under the license and by the files that it could be run with now. */
  #lookUp(): void {
    const { responseCache, present } = this.#parts;
    const { conf, authorization } = present(this.#service);
    try {
      if (++this.#tries > MAX_TRIES) throw new FilesTouchedError(conf.name);
      const hashing = authorization.verify();
      if (hashing) {
        this.#afterHashing(hashing, () => this.#lookUp());
        return;
      }
      this.#lookup = responseCache.look({ service: conf.name, version: this.version, inputs: this.inputs });
    } catch (error) {
      this.failed(SignetError.from(error));
      return;
    }
    const { outputs, ms } = this.#lookup;
    if (outputs === undefined) this.#enter();
    else this.#answer(outputs, (tookMs) => this.#statistics.hit(tookMs, ms));
  }

  #enter(): void {
    this.#trace?.queue();
    this.#submit();
  }

  #submit(): void {
    this.#tries++;
    this.#submitted = this.#service.runner.enter(this, this);
  }

  // ---- what the engine tells of the charge ----

  begin(): Charge {
    const { authorization } = this.#parts.present(this.#service);
    this.#ticket = authorization.begin();
    this.#authorization = authorization;
    return this;
  }

  started(isTimed: boolean): void {
    this.#startedMs = performance.now();
    if (isTimed) this.#authorization!.start(this.#ticket!);
  }

  takenBack(): void {
    this.#authorization!.takeBack(this.#ticket!);
    this.#ticket = undefined;
    this.#authorization = undefined;
    if (this.#isOver) this.#writeRun(false);
    this.#startedMs = Number.NaN;
  }

  ended(): void {
    this.#authorization!.end(this.#ticket!);
    this.#authorization = undefined;
    if (this.#isOver) this.#writeRun(true);
  }

  // ---- how it ends ----

  succeeded(result: JobResult): void {
    this.#result = result;
    this.#trace?.ran(result);
    this.#durationMs = result.runMs;
    this.#answer(result.outputs, (tookMs) => {
      this.#statistics.succeed(tookMs, result);
      if (this.#lookup === undefined) return;
      this.#lookup.keep(result.outputs);
      this.#statistics.miss(this.#lookup.ms);
    });
  }

  /** @param count takes how long it was since the call came, and counts it */
  #answer(outputs: readonly Tensor[], count: (tookMs: number) => void): void {
    try {
      this.outputs = this.#tensors!.answer(outputs);
    } catch (error) {
      this.release();
      this.failed(SignetError.from(error));
      return;
    }
    count(performance.now() - this.#arrivedMs);
    const { time } = this.#parts.present(this.#service).authorization;
    if (isNearEnd(time)) this.nearEnd = time;
    this.#close();
    this.#end.answered(this);
  }

  failed(error: SignetError): void {
    if (this.#isOver) return;
    if (error instanceof FilesTouchedError && this.#tries < MAX_TRIES) {
      this.#hashAgain();
      return;
    }
    this.#outcome = error.code;
    const tookMs = performance.now() - this.#arrivedMs;
    this.#durationMs = Number.isNaN(this.#startedMs) ? tookMs : performance.now() - this.#startedMs;
    this.#statistics.fail(tookMs, error.code);
    this.#parts.report(this.#service, this.#jobId, error);
    this.#close();
    this.#end.failed(error);
  }

  /** Native code does not wait for hashing: where a file was touched just now, the job tries again after it. */
  #hashAgain(): void {
    const { authorization } = this.#parts.present(this.#service);
    // What it throws at once is this call's too, and not of whose turn this is.
    const hashing = (async () => await authorization.verify())();
    this.#afterHashing(hashing, () => this.#submit());
  }

  #afterHashing(hashing: Promise<void>, action: () => void): void {
    this.#isHashing = true;
    hashing.then(
      () => {
        this.#isHashing = false;
        if (!this.#isOver) action();
      },
      (error) => this.failed(SignetError.from(error)),
    );
  }

  #close(): void {
    this.#isOver = true;
    this.#tensors?.release();
    this.#trace?.end(this.#outcome);
    // Whether native code runs it all the same is known later, and then it is written.
    if (this.#authorization === undefined) this.#writeRun(this.#ticket !== undefined);
  }

  #writeRun(charged: boolean): void {
    const { conf } = this.#service;
    const queueMs = Number.isNaN(this.#startedMs) ? 0 : this.#startedMs - this.#arrivedMs;
    this.#parts.runLog.append({
      time: isoNow(),
      service: conf.name,
      version: conf.version,
      jobId: this.#jobId,
      client: this.#identity.name,
      peer: this.#peer,
      durationMs: rounded(this.#durationMs),
      queueMs: rounded(queueMs),
      outcome: this.#outcome,
      charged,
      runsLeft: this.#parts.present(this.#service).authorization.runsLeft,
    });
    this.#lasting?.over(charged);
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
