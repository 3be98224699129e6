import { createReadStream, existsSync, renameSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";

/** What the run log says of the jobs of one life of a server. */
export interface LoggedJobs {
  /** Lines by `CLIENT SERVICE OUTCOME`. */
  readonly lines: ReadonlyMap<string, number>;
  /** Of these, the charged ones. */
  readonly charged: ReadonlyMap<string, number>;
  /** Time in the plugin, of the answered jobs, by service, ms. */
  readonly pluginMs: ReadonlyMap<string, number>;
  /** Lines that are none: a write that `kill -9` cut off. */
  readonly damaged: number;
}

/** Follows the run log through rotations, life by life. */
export class RunLogReader {
  readonly #file: string;
  /** Up to where it was read. */
  #position = 0;
  #rotated: { readonly file: string; readonly from: number }[] = [];
  #rotations = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** Moves the file away, as logrotate does; the server opens it anew when it gets SIGHUP. */
  rotate(): void {
    if (!existsSync(this.#file)) return;
    const file = `${this.#file}.${++this.#rotations}`;
    renameSync(this.#file, file);
    this.#rotated.push({ file, from: this.#position });
    this.#position = 0;
  }

  /** All that was written since it was last read. The server must have ended. */
  async readOn(): Promise<LoggedJobs> {
    const jobs = { lines: new Map(), charged: new Map(), pluginMs: new Map(), damaged: 0 };
    for (const { file, from } of this.#rotated.splice(0)) {
      await readLines(file, from, jobs);
      rmSync(file);
    }
    if (existsSync(this.#file)) this.#position += await readLines(this.#file, this.#position, jobs);
    return jobs;
  }
}

/** What is read of a line of the run log. */
interface RunLine {
  readonly client: string | null;
  readonly service: string;
  readonly outcome: string;
  readonly charged: boolean;
  readonly durationMs: number;
}

interface Jobs {
  readonly lines: Map<string, number>;
  readonly charged: Map<string, number>;
  readonly pluginMs: Map<string, number>;
  damaged: number;
}

async function readLines(file: string, from: number, jobs: Jobs): Promise<number> {
  const stream = createReadStream(file, { start: from });
  for await (const line of createInterface({ input: stream })) {
    const record = parseRecord(line);
    if (record === null) {
      jobs.damaged++;
      continue;
    }
    const { client, service, outcome, charged, durationMs } = record;
    const key = `${client} ${service} ${outcome}`;
    add(jobs.lines, key, 1);
    if (charged) add(jobs.charged, key, 1);
    if (outcome === "OK") add(jobs.pluginMs, service, durationMs);
  }
  return stream.bytesRead;
}

function parseRecord(line: string): RunLine | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

export function add(sums: Map<string, number>, key: string, amount: number): void {
  sums.set(key, (sums.get(key) ?? 0) + amount);
}
