import { prettyLine } from "../telemetry/index.ts";

/** From the least severe to the most. */
export const levels = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type Level = (typeof levels)[number];
export type Stream = "stdout" | "stderr";

/** A line that a plugin printed, or that the server itself wrote. */
export interface LogLine {
  /** When the gateway had it, ISO 8601 in UTC, milliseconds. */
  readonly time: string;
  readonly source: "service" | "platform";
  /** Whose line it is, or which service a line of the server is about; null where it is about none. */
  readonly service: string | null;
  /** null for a line of the server, which has a level instead. */
  readonly stream: Stream | null;
  readonly level: Level | null;
  /** The service's process; null for a line of the server. */
  readonly pid: number | null;
  /**
   * The jobs that may have written it: one where one ran, several where several did, none where none did. A line of the
   * server has the job it is about.
   */
  readonly jobs: readonly string[];
  readonly text: string;
}

export interface LogFilter {
  /** Lines of this job, or of several of which it is one; the beginning of its id is enough. */
  readonly job?: string | undefined;
  /** Only what plugins printed there. */
  readonly stream?: Stream | undefined;
  /** Only lines of the server, from this level up. */
  readonly level?: Level | undefined;
  /** Not before this time, ISO 8601 in UTC with milliseconds. */
  readonly since?: string | undefined;
  /** Somewhere in the text, in capitals or not. */
  readonly text?: string | undefined;
}

/** A filter as a function, which is made once and asked for each line. */
export function matcherOf({ job, stream, level, since, text }: LogFilter): (line: LogLine) => boolean {
  const wanted = text?.toLowerCase();
  const lowest = level === undefined ? -1 : levels.indexOf(level);
  return (line) =>
    (since === undefined || line.time >= since) &&
    (job === undefined || line.jobs.some((id) => id.startsWith(job))) &&
    (stream === undefined || line.stream === stream) &&
    (level === undefined || (line.level !== null && levels.indexOf(line.level) >= lowest)) &&
    (wanted === undefined || line.text.toLowerCase().includes(wanted));
}

/** A line of a service's file; undefined where it was cut off or somebody else wrote there. */
export function parseServiceLine(json: string, service: string): LogLine | undefined {
  const { time, stream, pid, jobs, text } = parseObject(json);
  if (typeof time !== "string" || typeof text !== "string") return undefined;
  return {
    ...{ time, source: "service", service, level: null, text },
    stream: stream === "stderr" ? "stderr" : "stdout",
    pid: typeof pid === "number" ? pid : null,
    jobs: Array.isArray(jobs) ? jobs.filter((job) => typeof job === "string") : [],
  };
}

/** A line of the server's log as it was written in JSON. */
export function parsePlatformLine(json: string): LogLine | undefined {
  const record = parseObject(json);
  const { time, level, service, jobId } = record;
  if (typeof time !== "string" || typeof record.msg !== "string") return undefined;
  return {
    ...{ time, source: "platform", stream: null, pid: null },
    service: typeof service === "string" ? service : null,
    level: levels.find((each) => each === level) ?? null,
    jobs: typeof jobId === "string" ? [jobId] : [],
    text: prettyLine(record),
  };
}

function parseObject(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
