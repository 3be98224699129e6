import type { AuditLog } from "../audit/index.ts";
import type { JobResult } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import type { ServiceConf } from "../license/index.ts";
import type { Log } from "../telemetry/index.ts";
import { quoteName } from "../tensor/index.ts";
import type { Identity } from "./access.ts";
import { TraceFile } from "./trace-file.ts";

export interface TracingOptions {
  /** Where trace files go; null where nobody may trace. */
  readonly directory: string | null;
  readonly log: Log;
  readonly audit: AuditLog;
}

/** One call's timestamps, in the making. */
export interface Trace {
  /** The job was given to its service. */
  queue(): void;
  /** The job has ended well. */
  ran(result: JobResult): void;
  /** The call is answered, with OK or a code. */
  end(outcome: string): void;
}

type Level = "OFF" | "TIMESTAMPS";

interface Settings {
  level: Level;
  /** One call of so many is traced. */
  rate: number;
  /** How many more are traced; -1 for any number. */
  count: number;
}

/** What is named is changed; undefined takes it back. */
type Change = { [Name in keyof Settings]?: Settings[Name] | undefined };

type Own = Partial<Settings> & { seen: number };

const defaults: Settings = { level: "OFF", rate: 1000, count: -1 };

/**
 * Timestamps of calls, for finding out where the time goes. Off until an operator turns them on, for the server or one
 * service; each time a new file begins. What is in a call is never written, only when.
 */
export class Tracing {
  readonly #options: TracingOptions;
  readonly #server: Settings & { seen: number } = { ...defaults, seen: 0 };
  readonly #services = new Map<string, Own>();
  #file: TraceFile | undefined;
  #closing: Promise<void> = Promise.resolve();
  #nextId = 1;

  constructor(options: TracingOptions) {
    this.#options = options;
  }

  /**
   * Changes the settings of the server, or of one service, all of what is named or nothing, and tells what is set then.
   * An empty list takes a setting back to the server's, or the server's to the default.
   * @throws PERMISSION_DENIED, TRACING_OFF, REQUEST_MALFORMED, NOT_IMPLEMENTED
   */
  async change(
    identity: Identity,
    service: string | null,
    wanted: ReadonlyMap<string, readonly string[]>,
  ): Promise<ReadonlyMap<string, string[]>> {
    identity.require("operate", service ?? undefined);
    const changes = [...wanted].map(([name, values]) => this.#parse(name, values));
    if (changes.some(({ level }) => level === "TIMESTAMPS") && this.#options.directory === null) {
      throw new SignetError("TRACING_OFF", "setting trace_level: expected OFF, since traceDir is not configured");
    }
    for (const change of changes) this.#apply(service, change);
    if (changes.length > 0) {
      const settings = this.#describe(service);
      const detail = { what: "trace", identity: identity.name, service, level: settings.get("trace_level")![0]! };
      this.#options.audit.record({ event: "settings.changed", detail });
    }
    await this.#openOrClose();
    return this.#describe(service);
  }

  /** A trace of a call that just came, where it is one to be traced. */
  begin(
    { name, version }: Pick<ServiceConf, "name" | "version">,
    requestId: string,
    arrivedMs: number,
  ): Trace | undefined {
    if (this.#file === undefined || !this.#isSampled(name)) return undefined;
    const timestamps: { name: string; ns: number }[] = [];
    const stamp = (event: string, ms: number) => timestamps.push({ name: event, ns: Math.round(ms * 1e6) });
    let queuedMs = arrivedMs;
    stamp("REQUEST_START", arrivedMs);
    return {
      queue: () => {
        queuedMs = performance.now();
        stamp("QUEUE_START", queuedMs);
      },
      ran: ({ queueMs, inputMs, outputMs }) => {
        const endedMs = performance.now();
        stamp("COMPUTE_START", queuedMs + queueMs);
        stamp("COMPUTE_INPUT_END", queuedMs + queueMs + inputMs);
        stamp("COMPUTE_OUTPUT_START", endedMs - outputMs);
        stamp("COMPUTE_END", endedMs);
      },
      end: (outcome) => {
        stamp("REQUEST_END", performance.now());
        const time = new Date(performance.timeOrigin + arrivedMs).toISOString();
        const call = { model_name: name, model_version: version, request_id: requestId.slice(0, 200), time, outcome };
        this.#append({ id: this.#nextId++, ...call, timestamps });
      },
    };
  }

  /** Finishes the file that is being written. */
  async close(): Promise<void> {
    this.#server.level = "OFF";
    this.#services.clear();
    await this.#openOrClose();
    await this.#closing;
  }

  #isSampled(service: string): boolean {
    const own = this.#services.get(service);
    if ((own?.level ?? this.#server.level) === "OFF") return false;
    const counter = own ?? this.#server;
    const limit = own?.count === undefined ? this.#server : own;
    if (limit.count === 0 || counter.seen++ % (own?.rate ?? this.#server.rate) !== 0) return false;
    if (limit.count! > 0) limit.count!--;
    return true;
  }

  #append(entry: object): void {
    this.#file?.append(entry);
    if (!this.#file?.isFull) return;
    this.#options.log.warn({ file: this.#file.path }, "the trace file is full; tracing ends");
    this.#server.level = "OFF";
    this.#services.clear();
    void this.#openOrClose();
  }

  #apply(service: string | null, change: Change): void {
    if (service === null) {
      Object.assign(this.#server, withDefaults(change));
      return;
    }
    const own: Own = Object.assign(this.#services.get(service) ?? { seen: 0 }, change);
    if (own.level === undefined && own.rate === undefined && own.count === undefined) this.#services.delete(service);
    else this.#services.set(service, own);
  }

  /** A file is there as long as anything is traced. */
  async #openOrClose(): Promise<void> {
    const { directory, log } = this.#options;
    const isOn = [this.#server, ...this.#services.values()].some(({ level }) => level === "TIMESTAMPS");
    if (isOn && this.#file === undefined && directory !== null) {
      this.#file = new TraceFile(directory, (err) => log.error({ err, directory }, "traces cannot be written"));
      log.info({ file: this.#file.path }, "calls are traced");
    } else if (!isOn && this.#file !== undefined) {
      const file = this.#file;
      this.#file = undefined;
      this.#closing = file.close();
      await this.#closing;
      log.info({ file: file.path }, "calls are traced no longer");
    }
  }

  #describe(service: string | null): ReadonlyMap<string, string[]> {
    const { level, rate, count } = { ...this.#server, ...defined(this.#services.get(service ?? "") ?? {}) };
    return new Map([
      ["trace_level", [level]],
      ["trace_rate", [`${rate}`]],
      ["trace_count", [`${count}`]],
      ["log_frequency", ["0"]],
      ["trace_mode", ["triton"]],
      ["trace_file", [this.#options.directory ?? ""]],
    ]);
  }

  /** One setting as the protocol has it. What Signet does not do is refused, unless it is asked for as it is. */
  #parse(name: string, values: readonly string[]): Change {
    const text = values.join(",");
    switch (name) {
      case "trace_level":
        if (values.length === 0) return { level: undefined };
        if (text === "OFF" || text === "TIMESTAMPS") return { level: text };
        throw new SignetError(
          "NOT_IMPLEMENTED",
          `setting trace_level: expected OFF or TIMESTAMPS, since what clients send is not written down, found ${quoteName(text)}`,
        );
      case "trace_rate":
        return { rate: values.length === 0 ? undefined : integer(name, text, 1) };
      case "trace_count":
        return { count: values.length === 0 ? undefined : integer(name, text, -1) };
      default: {
        const fixed = this.#describe(null).get(name);
        if (fixed === undefined) {
          throw new SignetError("REQUEST_MALFORMED", `setting ${quoteName(name)}: expected a setting of traces`);
        }
        if (values.length === 0 || text === fixed[0]) return {};
        throw new SignetError("NOT_IMPLEMENTED", `setting ${name}: expected no change; only the configuration has it`);
      }
    }
  }
}

function integer(name: string, text: string, min: number): number {
  const value = /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min) return value;
  throw new SignetError(
    "REQUEST_MALFORMED",
    `setting ${name}: expected an integer of ${min} or more, found ${quoteName(text)}`,
  );
}

function withDefaults(change: object): object {
  const entries = Object.entries(change).map(([key, value]) => [key, value ?? defaults[key as keyof Settings]]);
  return Object.fromEntries(entries);
}

function defined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;
}
