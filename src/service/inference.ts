import { randomUUID } from "node:crypto";
import type { Job, JobResult, ServiceRunner } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import { isNearEnd, type LicenseTime, type ServiceConf } from "../license/index.ts";
import type { Log, RunLog } from "../telemetry/index.ts";
import type { Identity } from "./access.ts";
import { type AnsweredOutput, type InferInput, InferTensors, type RequestedOutput } from "./infer-tensors.ts";
import { FilesTouchedError, type SecondAuthorization } from "./second-authorization.ts";
import { ServiceStatistics } from "./service-statistics.ts";
import type { SharedMemory } from "./shared-memory.ts";
import type { Tracing } from "./tracing.ts";

/** A licensed service with everything that is needed to run a call. */
export interface Service {
  readonly conf: ServiceConf;
  readonly runner: ServiceRunner;
  readonly authorization: SecondAuthorization;
  /** Deadline of a call where the client sets none, ms; a licensed job time comes on top. */
  readonly callTimeoutMs: number;
}

export interface InferenceParts {
  readonly runLog: RunLog;
  readonly log: Log;
  readonly sharedMemory: SharedMemory;
  readonly tracing: Tracing;
}

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
  readonly signal: AbortSignal;
}

export interface InferenceResult {
  readonly version: string;
  readonly outputs: readonly AnsweredOutput[];
  /** Where the service's license stands; null while its end is far. */
  readonly nearEnd: LicenseTime | null;
}

/** Where a call without a priority stands among those with one. */
const NORMAL_PRIORITY = 100;
/** An installation touches a file a few times; somebody who goes on touching it is not waited for. */
const MAX_TRIES = 5;

/** What the server does for a client, independent of the wire: find, authorize, check, run, record. */
export class Inference {
  #services: ReadonlyMap<string, Service> = new Map();
  readonly #runLog: RunLog;
  readonly #log: Log;
  readonly #sharedMemory: SharedMemory;
  readonly #tracing: Tracing;
  readonly #statistics = new Map<string, ServiceStatistics>();
  /** Refusals that the log has already: `SERVICE CODE`. A client that goes on asking must not fill the disk. */
  readonly #reported = new Set<string>();

  constructor({ runLog, log, sharedMemory, tracing }: InferenceParts) {
    this.#runLog = runLog;
    this.#log = log;
    this.#sharedMemory = sharedMemory;
    this.#tracing = tracing;
  }

  get services(): Service[] {
    return [...this.#services.values()];
  }

  /** Whether every service takes calls, but for those that somebody unloaded. */
  get isReady(): boolean {
    return this.services.every(({ runner }) => runner.state === "ready" || runner.state === "unloaded");
  }

  /** From the next call on these are the services. Calls that are under way end where they began. */
  replaceServices(services: readonly Service[]): void {
    this.#services = mapByName(services);
    this.#reported.clear(); // what a new license refuses is news again
    for (const name of this.#statistics.keys()) if (!this.#services.has(name)) this.#statistics.delete(name);
  }

  /** What the service has done since the server started, or since its version was first licensed. */
  statisticsOf({ conf: { name, version } }: Service): ServiceStatistics {
    let statistics = this.#statistics.get(name);
    if (statistics?.version !== version) {
      statistics = new ServiceStatistics(version);
      this.#statistics.set(name, statistics);
    }
    return statistics;
  }

  /** The service of that name and version; an empty version means the licensed one. @throws SERVICE_NOT_FOUND */
  find(name: string, version: string): Service {
    const service = this.#services.get(name);
    // The words are Triton's, which some clients look for.
    if (!service)
      throw new SignetError("SERVICE_NOT_FOUND", `Request for unknown model: '${name.slice(0, 200)}' is not found`);
    if (version !== "" && version !== service.conf.version) {
      throw new SignetError(
        "SERVICE_NOT_FOUND",
        `Request for unknown model: '${name}' version ${version.slice(0, 200)} is not found, version ${service.conf.version} is`,
      );
    }
    return service;
  }

  /** Runs one call. Every error is a SignetError; the run log has a line either way. */
  async infer(identity: Identity, call: InferenceCall): Promise<InferenceResult> {
    identity.require("infer", call.service);
    const service = this.find(call.service, call.version);
    const jobId = randomUUID();
    const statistics = this.statisticsOf(service);
    statistics.begin();
    const arrivedMs = performance.now();
    let queueMs = 0;
    let durationMs = 0;
    let outcome = "OK";
    let charged = false;
    const trace = this.#tracing.begin(service.conf, call.id, arrivedMs);
    let tensors: InferTensors | undefined;
    try {
      // Refused early, before the request is looked at, is what would be refused anyway.
      const hashing = service.authorization.verify();
      if (hashing) await hashing;
      tensors = new InferTensors(service, call, (place) => this.#sharedMemory.open(identity, place));
      const { inputs } = tensors;
      trace?.queue();
      const result = await this.#submit(service, {
        inputs,
        priority: call.priority === 0 ? NORMAL_PRIORITY : call.priority,
        queueTimeoutMs: call.queueTimeoutMs,
        signal: call.signal,
        ...this.#limits(service, call.deadlineMs, arrivedMs),
        begin: () => {
          queueMs = performance.now() - arrivedMs;
          const { authorization } = this.#present(service);
          const ticket = authorization.begin();
          charged = true;
          return () => authorization.end(ticket);
        },
      });
      ({ queueMs, runMs: durationMs } = result);
      trace?.ran(result);
      const outputs = tensors.answer(result.outputs);
      statistics.succeed(performance.now() - arrivedMs, result);
      const { time } = this.#present(service).authorization;
      return { version: service.conf.version, outputs, nearEnd: isNearEnd(time) ? time : null };
    } catch (thrown) {
      const error = SignetError.from(thrown);
      outcome = error.code;
      durationMs = performance.now() - arrivedMs - queueMs;
      statistics.fail(performance.now() - arrivedMs);
      if (error.code === "LIBRARY_CHANGED") this.#refuse(service, error);
      else if (error.exitCode === 3) this.#reportRefusal(service, error);
      if (error.code === "INTERNAL")
        this.#log.error({ err: error, jobId, service: call.service }, "a job failed unexpectedly");
      throw error;
    } finally {
      tensors?.release();
      trace?.end(outcome);
      this.#runLog.append({
        time: new Date().toISOString(),
        service: service.conf.name,
        version: service.conf.version,
        jobId,
        client: identity.name,
        peer: call.peer,
        durationMs: rounded(durationMs),
        queueMs: rounded(queueMs),
        outcome,
        charged,
        runsLeft: this.#present(service).authorization.runsLeft,
      });
    }
  }

  /** Gives the job to the service, again where its files were touched while it waited: that is hashed first. */
  async #submit(service: Service, job: Job): Promise<JobResult> {
    for (let tries = 1; ; tries++) {
      try {
        return await service.runner.submit(job);
      } catch (error) {
        if (!(error instanceof FilesTouchedError) || tries === MAX_TRIES) throw error;
        await this.#present(service).authorization.verify();
      }
    }
  }

  /** A call that waited while the license was renewed goes on under the new one, if its process did. */
  #present(service: Service): Service {
    const present = this.#services.get(service.conf.name);
    return present?.runner === service.runner ? present : service;
  }

  /** A file that changed under a running service stops the service, for this caller and all others. */
  #refuse({ conf, runner }: Service, error: SignetError): void {
    if (runner.state === "refused") return;
    this.#log.error({ err: error, service: conf.name }, "the service is stopped: a licensed file was changed");
    runner.refuse(error);
  }

  /** What the license no longer allows is news for the operator once; from then on the run log counts the calls. */
  #reportRefusal({ conf }: Service, error: SignetError): void {
    const refusal = `${conf.name} ${error.code}`;
    if (this.#reported.has(refusal)) return;
    this.#reported.add(refusal);
    this.#log.warn({ err: error, service: conf.name }, "calls are refused by the license");
  }

  #limits({ conf, callTimeoutMs }: Service, deadlineMs: number, nowMs: number) {
    const { jobTimeMs } = conf.limits;
    // No call waits for ever: without a deadline of its own it gets time to wait, and time to run as licensed.
    const allowedMs = nowMs + callTimeoutMs + (jobTimeMs ?? 0);
    return {
      deadlineMs: deadlineMs === Number.POSITIVE_INFINITY ? allowedMs : deadlineMs,
      runLimitMs: jobTimeMs ?? Number.POSITIVE_INFINITY,
    };
  }
}

function mapByName(services: readonly Service[]): ReadonlyMap<string, Service> {
  return new Map(services.map((service) => [service.conf.name, service]));
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
