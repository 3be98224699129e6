import type { ServiceEvent, ServiceRunner, ServiceState } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import type { Log } from "../telemetry/index.ts";
import { EventList, type MonitorEvent, type MonitorKind } from "./event-list.ts";
import { type CallCounts, FailureWatch } from "./failure-watch.ts";
import { HeartbeatWatch } from "./heartbeat-watch.ts";
import { MemoryWatch } from "./memory-watch.ts";

/** A service, as far as it is watched. */
export interface WatchedService {
  readonly name: string;
  readonly runner: Pick<ServiceRunner, "state" | "facts" | "runningJobs" | "memoryBytes">;
  readonly memoryLimitBytes: number;
  /** 0 for never. */
  readonly stuckAfterMs: number;
  readonly calls: CallCounts;
}

export interface ServiceMonitorParts {
  /** Those that there are now; a renewal may exchange them. */
  services(): readonly WatchedService[];
  readonly log: Log;
  /** Whether a service takes calls may be another answer than before. */
  onChange(): void;
}

/** What the monitor knows of a service at this moment. */
export interface ServiceHealth {
  /** Jobs whose heartbeat stands still. */
  readonly stuck: number;
  readonly isMemoryGrowing: boolean;
  readonly isFailing: boolean;
}

interface Watches {
  readonly heartbeat: HeartbeatWatch;
  readonly memory: MemoryWatch;
  readonly failures: FailureWatch;
  state: ServiceState | undefined;
}

const LOOK_MS = 500;
/** Looks between two at the memory. */
const LOOKS_A_SAMPLE = 10;

/**
 * Watches what the services do, and what becomes of it: ends of their processes, jobs that stand still, memory that
 * grows, jobs that fail one after another. It looks at counts and words that are there anyway, so calls do not pay for
 * it. A job that stands still is ended as if its caller had given up; all else is the supervisor's.
 */
export class ServiceMonitor {
  readonly #parts: ServiceMonitorParts;
  readonly #events = new EventList();
  readonly #watches = new Map<string, Watches>();
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;

  constructor(parts: ServiceMonitorParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(performance.now()), LOOK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** What happened last, oldest first. */
  get events(): readonly MonitorEvent[] {
    return this.#events.events;
  }

  countsOf(service: string): ReadonlyMap<MonitorKind, number> {
    return this.#events.countsOf(service);
  }

  healthOf(service: string): ServiceHealth {
    const { heartbeat, memory, failures } = this.#of(service);
    return { stuck: heartbeat.stuck, isMemoryGrowing: memory.isGrowing, isFailing: failures.isFailing };
  }

  /** What the engine says of a service. */
  record(service: string, event: ServiceEvent): void {
    if (event.type === "ended") this.#events.add(service, "ended", event.error.message, event.error.code);
    if (event.type !== "state") return;
    const watches = this.#of(service);
    if (watches.state === "quarantined" && event.state === "starting") {
      this.#events.add(service, "released", "its process is started again");
    }
    watches.state = event.state;
    if ("reason" in event) this.#events.add(service, event.state, event.reason.message, event.reason.code);
  }

  /** Looks at all of them. @param nowMs on the clock of performance.now() */
  look(nowMs: number): void {
    const samplesMemory = this.#looks++ % LOOKS_A_SAMPLE === 0;
    for (const service of this.#parts.services()) {
      this.#lookAtHeartbeats(service, nowMs);
      this.#lookAtFailures(service);
      if (samplesMemory) this.#lookAtMemory(service, nowMs);
    }
  }

  #lookAtHeartbeats({ name, runner, stuckAfterMs }: WatchedService, nowMs: number): void {
    const { heartbeat } = this.#of(name);
    const before = heartbeat.stuck;
    const running = runner.facts?.plugin.progress === true ? runner.runningJobs : [];
    for (const job of heartbeat.look(running, stuckAfterMs, nowMs)) {
      const words = `its plugin declares progress, and a job's heartbeat stood still for ${stuckAfterMs / 1000} s`;
      const error = new SignetError("SERVICE_UNRESPONSIVE", `${name}: ${words}`);
      this.#say(name, "stuck", error.message, error, job.ids);
      job.cancel(error);
    }
    if (heartbeat.stuck !== before) this.#parts.onChange();
  }

  #lookAtFailures({ name, calls }: WatchedService): void {
    const inARow = this.#of(name).failures.look(calls);
    if (inARow === undefined) return;
    if (inARow === 0) this.#say(name, "recovered", `${name}: a job succeeded again`);
    else this.#say(name, "failing", `${name}: ${inARow} jobs failed in a row, for reasons that lie with the service`);
  }

  #lookAtMemory({ name, runner, memoryLimitBytes }: WatchedService, nowMs: number): void {
    const growth = this.#of(name).memory.look(runner.memoryBytes, memoryLimitBytes, nowMs);
    if (growth === undefined) return;
    const [has, mayHave, aMinute] = [growth.bytes, memoryLimitBytes, growth.bytesPerSecond * 60].map(toMiB);
    const pace = `${has} of ${mayHave} MiB and ${aMinute} MiB more a minute`;
    this.#say(name, "memory", `${name}: its process has ${pace}; beyond its limit it is restarted`);
  }

  #say(service: string, kind: MonitorKind, message: string, error?: SignetError, jobs?: readonly string[]): void {
    this.#events.add(service, kind, message, error?.code ?? null);
    const level = kind === "recovered" ? "info" : "warn";
    this.#parts.log[level]({ service, monitor: kind, ...(jobs && jobs.length > 0 ? { jobs } : {}) }, message);
  }

  #of(service: string): Watches {
    let watches = this.#watches.get(service);
    if (watches === undefined) {
      watches = {
        heartbeat: new HeartbeatWatch(),
        memory: new MemoryWatch(),
        failures: new FailureWatch(),
        state: undefined,
      };
      this.#watches.set(service, watches);
    }
    return watches;
  }
}

function toMiB(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
