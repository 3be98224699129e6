import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { Duplex, Readable } from "node:stream";
import type { Sandbox } from "../plugin/index.ts";

/** A shell, and bubblewrap like one, ends with this and the number of the signal that ended what it ran. */
const ENDED_BY_SIGNAL = 128;

/**
 * A process that runs foreign code. With bubblewrap there are two more between it and this one: bwrap, and the first
 * process of the new name space, which ends when its only child does. Then bwrap ends, with the child's exit status.
 */
export class Child {
  readonly #process: ChildProcess;
  readonly #isWrapped: boolean;

  constructor(process: ChildProcess, sandbox: Sandbox) {
    this.#process = process;
    this.#isWrapped = sandbox === "bwrap";
  }

  get stdout(): Readable {
    return this.#process.stdout!;
  }

  get stderr(): Readable {
    return this.#process.stderr!;
  }

  /** This process's end of the channel. */
  get channel(): Duplex {
    return this.#process.stdio[3] as Duplex;
  }

  /** Of the process that runs the foreign code; undefined where that has not begun or has ended. */
  get pid(): number | undefined {
    return this.#isWrapped ? this.#insiders()[1] : this.#process.pid;
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** It could not be started; it will not end either. */
  onError(listener: (error: Error) => void): void {
    this.#process.once("error", listener);
  }

  /**
   * It is gone. `exit` comes at once, `close` when everything that it had said has been read.
   * @param listener is told how, such as "ended by SIGSEGV"
   */
  onEnd(event: "exit" | "close", listener: (how: string) => void): void {
    this.#process.once(event, (code: number | null, signal: NodeJS.Signals | null) => {
      const name = signal ?? (this.#isWrapped ? signalOf(code!) : undefined);
      listener(name === undefined ? `ended with exit status ${code}` : `ended by ${name}`);
    });
  }

  /**
   * Ends it at once; it is gone when `exit` comes. bwrap is left to see the end and to tell of it, where it has come so
   * far that there is anything else to end.
   */
  kill(): void {
    const innermost = this.#isWrapped ? this.#insiders().at(-1) : undefined;
    if (innermost === undefined) this.#process.kill("SIGKILL");
    else end(innermost);
  }

  /**
   * The first process of the name space, and the one that runs the foreign code, as far as they are there. They are
   * looked up anew each time, from a process of our own that has not been waited for: so no number can have become that
   * of somebody else's process.
   */
  #insiders(): number[] {
    const bwrap = this.hasEnded ? undefined : this.#process.pid;
    const first = bwrap === undefined ? undefined : onlyChildOf(bwrap);
    const child = first === undefined ? undefined : onlyChildOf(first);
    return [first, child].filter((pid) => pid !== undefined);
  }
}

function onlyChildOf(pid: number): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    return child ? Number(child) : undefined;
  } catch {
    return undefined;
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function signalOf(exitStatus: number): string | undefined {
  const number = exitStatus - ENDED_BY_SIGNAL;
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
