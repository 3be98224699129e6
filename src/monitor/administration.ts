import { SignetError } from "../errors.ts";
import { type License, licenseTimeAt } from "../license/index.ts";
import type { FoundLines, LogFilter, LogLine, LogMonitor, LogScope } from "../logs/index.ts";
import type { Identity, Inference, ProcessTally, Repository, Service } from "../service/index.ts";
import type { DeviceStatus, LicenseInForce, ServedService, ServerStatus } from "./server-status.ts";
import type { ServiceMonitor } from "./service-monitor.ts";

/** Jobs of a service in the store. */
export interface JobLoad {
  readonly service: string;
  readonly queued: number;
  readonly running: number;
}

/** What a service's processes used at most, bytes. */
export interface PeakUse {
  readonly memoryBytes: number;
  /** null where nobody can tell. */
  readonly gpuMemoryBytes: number | null;
}

export interface AdministrationParts {
  readonly inference: Inference;
  readonly repository: Repository;
  readonly processes: ProcessTally;
  readonly monitor: ServiceMonitor;
  readonly logs: LogMonitor;
  readonly version: string;
  isReady(): boolean;
  memoryLimitOf(service: string): number;
  license(): License;
  /** ms since 1970, by the ledger's clock. */
  nowMs(): number;
  readonly devices?: (() => readonly DeviceStatus[]) | undefined;
  readonly peakUseOf?: ((service: string) => PeakUse | undefined) | undefined;
  readonly jobs?: (() => Promise<readonly JobLoad[]>) | undefined;
}

export interface LogQuery {
  /** A service, or empty for all that the caller may see. */
  readonly service: string;
  readonly source: "all" | "services" | "platform";
  readonly filter: LogFilter;
}

/** What is counted from: a start of the process is what an operator means by one of the server. */
const startedMs = Date.now() - Math.round(performance.now());
export const MAX_LINES = 5000;

/** What those may ask who look after a server, independent of the wire. */
export class Administration {
  readonly #parts: AdministrationParts;

  constructor(parts: AdministrationParts) {
    this.#parts = parts;
  }

  /** With the services that the caller may operate. @throws PERMISSION_DENIED where that is none */
  async status(identity: Identity): Promise<ServerStatus> {
    const { inference, monitor, devices, version, isReady } = this.#parts;
    const services = inference.services.filter(({ conf }) => mayOperate(identity, conf.name));
    if (services.length === 0) identity.require("operate");
    const loads = await this.#jobLoads();
    const names = new Set(services.map(({ conf }) => conf.name));
    return {
      version,
      startedMs,
      uptimeMs: Date.now() - startedMs,
      isReady: isReady(),
      license: this.#license(),
      services: services.map((service) => this.#describe(service, loads)),
      devices: devices?.() ?? [],
      events: monitor.events.filter(({ service }) => names.has(service)),
    };
  }

  /** Starts a quarantined service again; resolves when it takes calls. @throws as Repository.load */
  async release(identity: Identity, service: string): Promise<void> {
    identity.require("operate", service);
    const { state } = this.#parts.inference.find(service, "").runner;
    if (state !== "quarantined" && state !== "ready") {
      throw new SignetError("SERVICE_NOT_READY", `${service} is not quarantined, it is ${state}`);
    }
    await this.#parts.repository.load(identity, service);
  }

  /** @throws PERMISSION_DENIED, REQUEST_MALFORMED */
  searchLogs(identity: Identity, query: LogQuery, limit: number, signal?: AbortSignal): Promise<FoundLines> {
    if (limit < 1 || limit > MAX_LINES) {
      throw new SignetError("REQUEST_MALFORMED", `limit: expected 1 to ${MAX_LINES} lines, found ${limit}`);
    }
    return this.#parts.logs.search(this.#scopeOf(identity, query), query.filter, limit, signal);
  }

  /** Tells of every line from now on. @returns a function that ends it @throws PERMISSION_DENIED */
  tailLogs(identity: Identity, query: LogQuery, onLine: (line: LogLine) => void): () => void {
    return this.#parts.logs.tail(this.#scopeOf(identity, query), query.filter, onLine);
  }

  /** For lines that come while a caller's grants may change. @throws PERMISSION_DENIED */
  verifyMaySee(identity: Identity, { source, service }: LogLine): void {
    if (source === "platform") identity.require("administer");
    else identity.require("operate", service ?? "");
  }

  /** Lines of plugins are for who may operate their service; what the server says is for an admin. */
  #scopeOf(identity: Identity, { service, source }: LogQuery): LogScope {
    if (source === "platform") identity.require("administer");
    const isAdmin = identity.role === "admin";
    if (service !== "") {
      identity.require("operate", service);
      return {
        services: source === "platform" ? [] : [service],
        platform: isAdmin && source !== "services" ? [service] : [],
      };
    }
    const names = new Set([
      ...this.#parts.inference.services.map(({ conf }) => conf.name),
      ...this.#parts.logs.services,
    ]);
    const services = [...names].filter((name) => mayOperate(identity, name));
    if (services.length === 0) identity.require("operate");
    return {
      services: source === "platform" ? [] : services,
      platform: isAdmin && source !== "services" ? "all" : [],
    };
  }

  async #jobLoads(): Promise<ReadonlyMap<string, JobLoad> | undefined> {
    try {
      const loads = await this.#parts.jobs?.();
      return loads && new Map(loads.map((load) => [load.service, load]));
    } catch {
      return undefined; // a store that does not answer says so elsewhere
    }
  }

  #license(): LicenseInForce {
    const { licenseId, sequence, expires, graceDays } = this.#parts.license();
    const { phase, daysLeft } = licenseTimeAt(this.#parts.nowMs(), Date.parse(expires), graceDays);
    return { licenseId, sequence, expires, phase, daysLeft };
  }

  #describe(service: Service, loads: ReadonlyMap<string, JobLoad> | undefined): ServedService {
    const { inference, processes, monitor, logs, memoryLimitOf, peakUseOf } = this.#parts;
    const { conf, runner, authorization } = service;
    const { name, version, limits } = conf;
    const error = runner.lastError;
    const { success, failure } = inference.statisticsOf(service);
    const jobs = loads?.get(name);
    const peak = peakUseOf?.(name);
    return {
      ...{ name, version, state: runner.state, pid: runner.pid ?? null },
      ...{ running: runner.running, waiting: runner.queued, concurrency: limits.concurrency },
      ...{ waitsFor: runner.waitingFor ?? null, devices: runner.devices },
      ...{ memoryBytes: runner.memoryBytes, memoryLimitBytes: memoryLimitOf(name) },
      ...{ peakMemoryBytes: peak?.memoryBytes ?? 0, peakGpuMemoryBytes: peak?.gpuMemoryBytes ?? 0 },
      restarts: Math.max(0, processes.of(name).starts - 1),
      endsInARow: runner.endsInARow,
      lastError: error === undefined ? null : { code: error.code, message: error.message },
      daysLeft: authorization.time.daysLeft,
      runsLeft: authorization.runsLeft,
      ...{ succeeded: success.count, failed: failure.count },
      ...monitor.healthOf(name),
      jobs: loads === undefined ? null : { queued: jobs?.queued ?? 0, running: jobs?.running ?? 0 },
      logLines: { ...logs.countsOf(name) },
    };
  }
}

function mayOperate(identity: Identity, service: string): boolean {
  try {
    identity.require("operate", service);
    return true;
  } catch {
    return false;
  }
}
