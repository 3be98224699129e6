import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const signet = join(import.meta.dirname, "..", "..", "bin", "signet");
const severe = ["error", "fatal"];

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `bin/signet serve` from its start to its end, with its log kept in a file. */
export class ServerLife {
  /** Lines of the levels error and fatal, by message and code. */
  readonly errors = new Map<string, number>();
  /** Whether it was told to end; an end without that is a failure. */
  isEnding = false;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<(line: LogLine) => void>();
  #lastLine = "";

  constructor(dataRoot: string, logFile: string) {
    const args = ["serve", "--data", dataRoot, "--log-format", "json", "--listen", "127.0.0.1:0"];
    this.#child = spawn(signet, args, { env: { PATH: process.env.PATH }, stdio: ["ignore", "ignore", "pipe"] });
    const file = createWriteStream(logFile, { flags: "a" });
    createInterface({ input: this.#child.stderr! }).on("line", (line) => {
      file.write(`${line}\n`);
      this.#lastLine = line;
      if (line.startsWith("{")) this.#read(JSON.parse(line));
    });
    this.ended = once(this.#child, "close").then(([code, signal]) => {
      file.end();
      return (code ?? signal) as number | string;
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get lastLine(): string {
    return this.#lastLine;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The next line that fits, or null when the server ends first. */
  logged(fits: (line: LogLine) => boolean): Promise<LogLine | null> {
    const found = new Promise<LogLine>((resolve) => {
      const watcher = (line: LogLine) => {
        if (!fits(line)) return;
        this.#watchers.delete(watcher);
        resolve(line);
      };
      this.#watchers.add(watcher);
    });
    return Promise.race([found, this.ended.then(() => null)]);
  }

  #read(line: LogLine): void {
    if (severe.includes(line.level)) {
      const code = (line.err as { readonly code?: string } | undefined)?.code;
      const words = code === undefined ? line.msg : `${line.msg} (${code})`;
      this.errors.set(words, (this.errors.get(words) ?? 0) + 1);
    }
    for (const watcher of [...this.#watchers]) watcher(line);
  }
}
