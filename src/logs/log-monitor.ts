import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { DataDirectory, LogKeeping } from "../config/index.ts";
import { isoNow, type LineFile, type Log, logControlOf, openLineFile, redactText } from "../telemetry/index.ts";
import { type LogFilter, type LogLine, matcherOf, parsePlatformLine, type Stream } from "./log-line.ts";
import { type FoundLines, type LogFiles, searchLogs } from "./search-logs.ts";

export interface LogMonitorParts {
  readonly data: DataDirectory;
  readonly keeping: LogKeeping;
  readonly log: Log;
}

/** A line as it came from a service's process. */
export interface PluginOutput {
  readonly stream: Stream;
  readonly line: string;
  readonly pid: number | null;
  /** Those that may have written it. */
  readonly jobs: readonly string[];
  /** Lines before it that were left out; the line then says so. */
  readonly dropped: number;
}

/** What somebody may see and wants to. */
export interface LogScope {
  /** Whose plugins' lines. */
  readonly services: readonly string[];
  /** Lines of the server: all of them, or those about these services. */
  readonly platform: "all" | readonly string[];
}

export interface LogCounts {
  kept: number;
  /** Left out because the plugin wrote too much at a time, or the disk did not take it. */
  dropped: number;
}

interface Tail {
  passes(line: LogLine): boolean;
  onLine(line: LogLine): void;
}

/** Of a service's newest file. */
const END = ".jsonl";
/** How long a search waits for lines that are on their way to the disk. */
const SETTLE_MS = 200;

/**
 * What the plugins printed and what the server said, kept in files that are rotated by size, to be searched and followed.
 * Nobody waits for a disk here, and nothing is written that is not bounded before (`src/engine/plugin-output.ts`).
 */
export class LogMonitor {
  readonly #parts: LogMonitorParts;
  readonly #platform: LineFile;
  readonly #services = new Map<string, { readonly file: LineFile; readonly counts: LogCounts }>();
  readonly #tails = new Set<Tail>();
  /** True while a plugin's line is written to the log: it is in the service's own file already. */
  #isEcho = false;
  #searching: Promise<unknown> = Promise.resolve();

  constructor(parts: LogMonitorParts) {
    this.#parts = parts;
    this.#platform = this.#open(parts.data.platformLogFile, "the file of the server's log");
    logControlOf(parts.log).tap = (json) => this.#takePlatform(json);
  }

  /** A plugin printed something. */
  takeOutput(service: string, { stream, line, pid, jobs, dropped }: PluginOutput): void {
    const { file, counts } = this.#of(service);
    const text = redactText(line);
    const time = isoNow();
    counts.dropped += dropped;
    if (file.append(JSON.stringify({ time, service, stream, pid, jobs, text }))) counts.kept++;
    this.#isEcho = true;
    this.#parts.log.info({ service, stream, line: text }, "plugin output");
    this.#isEcho = false;
    if (this.#tails.size > 0) {
      this.#tell({ time, source: "service", service, stream, level: null, pid, jobs, text });
    }
  }

  /** What was kept and what was not since the server started. */
  countsOf(service: string): Readonly<LogCounts> {
    return this.#services.get(service)?.counts ?? { kept: 0, dropped: 0 };
  }

  /** Services that have files here, also of earlier licenses. */
  get services(): string[] {
    try {
      const files = readdirSync(this.#parts.data.serviceLogsDir);
      return files.filter((file) => file.endsWith(END)).map((file) => file.slice(0, -END.length));
    } catch {
      return [];
    }
  }

  /** One search at a time: each may read all of the files. */
  search(scope: LogScope, filter: LogFilter, limit: number, signal?: AbortSignal): Promise<FoundLines> {
    const run = async () => {
      await this.#settle();
      const { files } = this.#parts.keeping;
      return await searchLogs(this.#placesOf(scope, filter), { filter, limit, files, signal });
    };
    const searched = this.#searching.then(run);
    this.#searching = searched.catch(() => {});
    return searched;
  }

  /** Tells of every line from now on. @returns a function that ends it */
  tail(scope: LogScope, filter: LogFilter, onLine: (line: LogLine) => void): () => void {
    const matches = matcherOf(filter);
    const tail = { passes: (line: LogLine) => isInScope(scope, line) && matches(line), onLine };
    this.#tails.add(tail);
    return () => this.#tails.delete(tail);
  }

  /** Opens the files anew (SIGHUP). */
  reopen(): void {
    this.#platform.reopen();
    for (const { file } of this.#services.values()) file.reopen();
  }

  async close(): Promise<void> {
    logControlOf(this.#parts.log).tap = undefined;
    this.#tails.clear();
    await Promise.all([this.#platform.close(), ...[...this.#services.values()].map(({ file }) => file.close())]);
  }

  #takePlatform(json: string): void {
    if (this.#isEcho) return;
    this.#platform.append(json.trimEnd());
    if (this.#tails.size === 0) return;
    const line = parsePlatformLine(json);
    if (line !== undefined) this.#tell(line);
  }

  #tell(line: LogLine): void {
    for (const tail of this.#tails) if (tail.passes(line)) tail.onLine(line);
  }

  #of(service: string): { readonly file: LineFile; readonly counts: LogCounts } {
    let found = this.#services.get(service);
    if (found === undefined) {
      const counts: LogCounts = { kept: 0, dropped: 0 };
      const file = this.#open(this.#fileOf(service), `the log of service ${service}`, (lines) => {
        counts.dropped += lines;
      });
      found = { file, counts };
      this.#services.set(service, found);
    }
    return found;
  }

  #fileOf(service: string): string {
    return join(this.#parts.data.serviceLogsDir, service + END);
  }

  #open(file: string, what: string, onLost?: (lines: number) => void): LineFile {
    const { keeping, log } = this.#parts;
    const rotation = { maxBytes: keeping.maxMiB * 2 ** 20, files: keeping.files };
    return openLineFile({ file, what, log, rotation, ...(onLost ? { onLost } : {}) });
  }

  #placesOf(scope: LogScope, { stream, level }: LogFilter): LogFiles[] {
    const known = new Set(this.services);
    // Only names that are there: a name that a client made up becomes no path.
    const ofServices = level === undefined ? scope.services.filter((name) => known.has(name)) : [];
    const places: LogFiles[] = ofServices.map((service) => ({ file: this.#fileOf(service), service }));
    if (scope.platform.length === 0 || stream !== undefined) return places;
    const passes = (line: LogLine) => isInScope(scope, line);
    return [...places, { file: this.#parts.data.platformLogFile, service: null, passes }];
  }

  async #settle(): Promise<void> {
    const all = [this.#platform, ...[...this.#services.values()].map(({ file }) => file)];
    const flushed = Promise.all(all.map((file) => file.flush()));
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, SETTLE_MS);
    await Promise.race([flushed, late.promise]);
    clearTimeout(timer);
  }
}

function isInScope({ services, platform }: LogScope, { source, service }: LogLine): boolean {
  if (source === "platform" && platform === "all") return true;
  const names = source === "service" ? services : platform;
  return service !== null && names.includes(service);
}
