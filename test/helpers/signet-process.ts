import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { dataDirectory } from "../../src/config/index.ts";
import { transportUnderTest } from "./transport.ts";

const signet = fileURLToPath(new URL("../../bin/signet", import.meta.url));

interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `bin/signet serve` as a process, killed with the test if it still lives then. */
export class SignetProcess {
  readonly log: LogLine[] = [];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exit: Promise<unknown[]>;
  #stderr = "";
  #onLine: (() => void)[] = [];

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#exit = once(child, "close");
    createInterface({ input: child.stderr }).on("line", (line) => {
      this.#stderr += `${line}\n`;
      if (line.startsWith("{")) this.log.push(JSON.parse(line));
      for (const wake of this.#onLine.splice(0)) wake();
    });
    void this.#exit.then(() => {
      for (const wake of this.#onLine.splice(0)) wake();
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it wrote for people and for the log. */
  get stderr(): string {
    return this.#stderr;
  }

  /** The first line of the log with this message, as soon as it is written. */
  async logged(message: string): Promise<LogLine> {
    for (;;) {
      const line = this.log.find(({ msg }) => msg === message);
      if (line !== undefined) return line;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`ended without logging "${message}":\n${this.#stderr}`);
      }
      await new Promise<void>((resolve) => this.#onLine.push(resolve));
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Signals its service hosts too, as a terminal and systemd do. */
  killGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  /** Exit code, or the signal that ended it. */
  async exit(): Promise<number | string> {
    const [code, signal] = (await this.#exit) as [number | null, string | null];
    return code ?? signal!;
  }
}

export function useSignetServe(dataRoot: string, args: readonly string[] = []): SignetProcess {
  const { configFile } = dataDirectory(dataRoot);
  if (transportUnderTest.transport !== undefined && !existsSync(configFile)) {
    writeFileSync(configFile, JSON.stringify(transportUnderTest));
  }
  const child = spawn(signet, ["serve", "--data", dataRoot, "--log-format", "json", ...args], {
    env: { PATH: process.env.PATH },
    stdio: "pipe",
    detached: true, // a process group of its own, as under a terminal or systemd
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return new SignetProcess(child);
}
