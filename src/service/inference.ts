import type { ServiceRunner } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import type { ServiceConf } from "../license/index.ts";
import type { Log, RunLog } from "../telemetry/index.ts";
import type { Identity } from "./access.ts";
import {
  InferCall,
  type InferCallParts,
  type InferenceCall,
  type InferenceEnd,
  type InferenceResult,
} from "./infer-call.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { Scheduling } from "./scheduling.ts";
import type { SecondAuthorization } from "./second-authorization.ts";
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
  /** Whether its answers are kept for the same questions. */
  readonly isCached: boolean;
  readonly scheduling: Scheduling;
}

export interface InferenceParts {
  readonly runLog: RunLog;
  readonly log: Log;
  readonly sharedMemory: SharedMemory;
  readonly tracing: Tracing;
  readonly responseCache: ResponseCache;
}

/** What the server does for a client, independent of the wire: find, authorize, check, run, record. */
export class Inference {
  #services: ReadonlyMap<string, Service> = new Map();
  readonly #log: Log;
  readonly #parts: InferCallParts;
  readonly #statistics = new Map<string, ServiceStatistics>();
  /** Refusals that the log has already: `SERVICE CODE`. A client that goes on asking must not fill the disk. */
  readonly #reported = new Set<string>();

  constructor({ runLog, log, sharedMemory, tracing, responseCache }: InferenceParts) {
    this.#log = log;
    this.#parts = {
      ...{ runLog, sharedMemory, tracing, responseCache },
      present: (service) => this.#present(service),
      report: (service, jobId, error) => this.#report(service, jobId, error),
    };
  }

  get services(): Service[] {
    return [...this.#services.values()];
  }

  /** Whether every service takes calls, but for those that somebody unloaded. */
  get isReady(): boolean {
    return this.services.every(({ runner }) => runner.isServing || runner.state === "unloaded");
  }

  /** From the next call on these are the services. Calls that are under way end where they began. */
  replaceServices(services: readonly Service[]): void {
    this.#services = mapByName(services);
    this.#parts.responseCache.clear();
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

  /**
   * Runs one call, and tells `end` how it ended; the run log has a line either way.
   * @throws PERMISSION_DENIED, SERVICE_NOT_FOUND before it has begun
   */
  begin(identity: Identity, call: InferenceCall, end: InferenceEnd): InferCall {
    identity.require("infer", call.service);
    const service = this.find(call.service, call.version);
    const begun = new InferCall(this.#parts, { service, statistics: this.statisticsOf(service) }, identity, call, end);
    begun.start(call);
    return begun;
  }

  /** The same as a promise, of outputs that are the caller's own. @param signal the client going away */
  infer(identity: Identity, call: InferenceCall & { readonly signal: AbortSignal }): Promise<InferenceResult> {
    return new Promise((resolve, reject) => {
      const { signal } = call;
      const onAbort = () => begun.cancel();
      const stopListening = () => signal.removeEventListener("abort", onAbort);
      const begun = this.begin(identity, call, {
        answered: (result) => {
          stopListening();
          resolve(keepOutputs(result));
        },
        failed: (error) => {
          stopListening();
          reject(error);
        },
      });
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) begun.cancel();
    });
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

  /** What the operator should know of a call that failed. */
  #report(service: Service, jobId: string, error: SignetError): void {
    if (error.code === "LIBRARY_CHANGED") this.#refuse(service, error);
    else if (error.exitCode === 3) this.#reportRefusal(service, error);
    if (error.code === "INTERNAL")
      this.#log.error({ err: error, jobId, service: service.conf.name }, "a job failed unexpectedly");
  }
}

/** The same result with outputs of its own; what was lent is released. */
export function keepOutputs(lent: InferenceResult): InferenceResult {
  const outputs = lent.outputs.map((output) => ({ ...output, data: new Uint8Array(output.data) }));
  lent.release();
  const { version, runMs, nearEnd } = lent;
  return { version, outputs, runMs, nearEnd, release: () => {} };
}

function mapByName(services: readonly Service[]): ReadonlyMap<string, Service> {
  return new Map(services.map((service) => [service.conf.name, service]));
}
