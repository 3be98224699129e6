import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished } from "vitest";
import type { ErrorCode } from "../../src/errors.ts";
import type { Machine } from "./machine.ts";

const bin = join(import.meta.dirname, "..", "..", "bin");

/** What a command printed: data to `out`, talk to `err`. */
export interface Printed {
  readonly out: string;
  readonly err: string;
}

/** Somebody who types commands, in a directory of their own, on a machine that may be another one. */
export class Terminal {
  readonly directory: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #enter: readonly string[];

  constructor(name: string, env: Readonly<Record<string, string>>, machine?: Machine) {
    this.directory = mkdtempSync(join(tmpdir(), `signet-${name}-`));
    onTestFinished(() => rmSync(this.directory, { recursive: true, force: true }));
    // Nothing of this process's environment but where programs are; data lies where the person works.
    this.#env = { PATH: `${bin}${delimiter}${process.env.PATH}`, HOME: this.directory, ...env };
    this.#enter = machine?.enter ?? [];
  }

  /** Types a line for the shell, which must end well. */
  async types(line: string): Promise<Printed> {
    const { exit, ...printed } = await this.#run(line);
    expect({ line, exit, err: exit === 0 ? "" : printed.err }).toEqual({ line, exit: 0, err: "" });
    return printed;
  }

  /** Types a line whose command must refuse, in one line for people: exit code, stable code, and then words. */
  async isRefused(line: string, exit: number, code: ErrorCode): Promise<string> {
    const printed = await this.#run(line);
    const said = printed.err.trimEnd().split("\n").at(-1)!;
    expect({ line, exit: printed.exit, said }).toEqual({
      line,
      exit,
      said: expect.stringMatching(`^signet(-license)?: ${code}: `),
    });
    return said;
  }

  /** Starts what runs on, such as a server. */
  starts(line: string): Background {
    return new Background(this.#spawn(`exec ${line}`));
  }

  async #run(line: string): Promise<Printed & { readonly exit: number | null }> {
    const child = this.#spawn(line);
    child.stdin.end();
    const timer = setTimeout(() => killGroup(child), PATIENCE_MS);
    const closed = once(child, "close");
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [exit] = (await closed) as [number | null];
    clearTimeout(timer);
    return { out, err, exit };
  }

  #spawn(line: string): ChildProcessWithoutNullStreams {
    const [program, ...args] = [...this.#enter, "sh", "-c", `cd '${this.directory}' && ${line}`];
    const child = spawn(program!, args, { env: this.#env, stdio: "pipe", detached: true });
    onTestFinished(() => killGroup(child));
    return child;
  }
}

/** Nobody waits longer for a command's end; one that ran into this fails its step. */
const PATIENCE_MS = 120_000;

/** The shell and all that it started. */
function killGroup({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    process.kill(-pid!, "SIGKILL");
  } catch {
    // it has ended
  }
}

/** A program that runs on while other lines are typed; it ends with the test at the latest. */
export class Background {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown[]>;
  #said = "";
  #isEnded = false;
  /** How far its words were read. */
  #read = 0;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#closed = once(child, "close");
    child.stderr.on("data", (words) => {
      this.#said += words;
    });
    void this.#closed.then(() => {
      this.#isEnded = true;
    });
  }

  /** All that it has said. */
  get said(): string {
    return this.#said;
  }

  /** Waits until it says this, after what it was last heard to say. */
  async says(words: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = words.exec(this.#said.slice(this.#read));
      if (found !== null) {
        this.#read += found.index + found[0].length;
        return found;
      }
      if (this.#isEnded) throw new Error(`ended without saying ${words}:\n${this.#said}`);
      await Promise.race([once(this.#child.stderr, "data"), this.#closed]);
    }
  }

  /** Signals it, and waits for its exit code, or the signal that ended it. */
  async ends(signal: NodeJS.Signals): Promise<number | string> {
    this.#child.kill(signal);
    const [code, ended] = (await this.#closed) as [number | null, string | null];
    return code ?? ended!;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
