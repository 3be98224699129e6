import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Target } from "./connection.ts";
import type { FromClient, Setup, Surprise, Tally, ToClient } from "./protocol.ts";

export interface ClientListener {
  onTally(tally: Tally): void;
  onSurprise(surprise: Surprise): void;
}

/** This side of a client process. */
export class ClientProcess {
  readonly #child: ChildProcess;
  #onRested: ((firstLostMs: number | null) => void) | undefined;

  constructor(setup: Omit<Setup, "type">, listener: ClientListener) {
    this.#child = fork(join(import.meta.dirname, "client.ts"), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child.on("message", (message: FromClient) => {
      if (message.type === "tally") listener.onTally(message.tally);
      else if (message.type === "surprise") listener.onSurprise(message.surprise);
      else this.#onRested?.(message.firstLostMs);
    });
    this.#child.once("exit", (code, signal) => {
      if (this.#child.connected || this.#onRested === undefined) return;
      listener.onSurprise({ kind: "no ending", words: `a client process ended (${code ?? signal})` });
      this.#onRested(null);
    });
    this.#send({ type: "setup", ...setup });
  }

  work(target: Target): void {
    this.#send({ type: "work", target });
  }

  /** Resolves when every call has ended and been told of, with the time of the first that was cut off. */
  rest(): Promise<number | null> {
    return new Promise((resolve) => {
      this.#onRested = (firstLostMs) => {
        this.#onRested = undefined;
        resolve(firstLostMs);
      };
      this.#send({ type: "rest" });
    });
  }

  async end(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #send(message: ToClient): void {
    this.#child.send(message);
  }
}
