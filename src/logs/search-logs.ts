import { rotatedName } from "../telemetry/index.ts";
import { type LogFilter, type LogLine, matcherOf, parsePlatformLine, parseServiceLine } from "./log-line.ts";
import { readBackwards } from "./read-backwards.ts";

/** Where lines are looked for. */
export interface LogFiles {
  /** The newest of the rotated files. */
  readonly file: string;
  /** Whose lines these are; null for the server's. */
  readonly service: string | null;
  /** Of the server's lines, only those that pass. */
  readonly passes?: (line: LogLine) => boolean;
}

export interface LogSearch {
  readonly filter: LogFilter;
  /** How many lines at most; the newest. */
  readonly limit: number;
  /** How many rotated files there may be of each. */
  readonly files: number;
  readonly signal?: AbortSignal | undefined;
}

export interface FoundLines {
  /** Oldest first. */
  readonly lines: readonly LogLine[];
  /** Whether older ones would fit too. */
  readonly isCut: boolean;
}

/** Reads from the newest line on, and no further back than is needed. */
export async function searchLogs(places: readonly LogFiles[], search: LogSearch): Promise<FoundLines> {
  const found: LogLine[] = [];
  for (const place of places) found.push(...(await searchPlace(place, search)));
  found.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const { limit } = search;
  return { lines: found.slice(-limit), isCut: found.length > limit };
}

/** One more than wanted at most, to know whether there are more. */
async function searchPlace({ file, service, passes }: LogFiles, search: LogSearch): Promise<LogLine[]> {
  const { filter, limit, files, signal } = search;
  const matches = matcherOf(filter);
  const found: LogLine[] = [];
  for (let number = 0; number < files; number++) {
    let isEmpty = true;
    for await (const json of readBackwards(rotatedName(file, number))) {
      isEmpty = false;
      if (signal?.aborted) return [];
      // Ids are written as they are, so most lines of other jobs need not be parsed.
      if (filter.job !== undefined && !json.includes(filter.job)) continue;
      const line = service === null ? parsePlatformLine(json) : parseServiceLine(json, service);
      if (line === undefined) continue;
      if (filter.since !== undefined && line.time < filter.since) return found.reverse();
      if (!matches(line) || passes?.(line) === false) continue;
      found.push(line);
      if (found.length > limit) return found.reverse();
    }
    if (isEmpty && number > 0) break;
  }
  return found.reverse();
}
