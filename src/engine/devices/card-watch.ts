import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { type CardReading, cardReadingSchema, closeOthersOnExec, findNvml, noCards } from "../../plugin/index.ts";
import { Channel } from "../channel.ts";

export interface CardWatchOptions {
  /** Another root, for tests. */
  readonly root?: string;
  /** How long the driver may take for one reading. Default 30,000: one that has to wake GPUs takes seconds for each. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;

/**
 * Reads the cards as often as it is asked, in a process of its own that stays: a driver in trouble may hang, or end
 * whoever asks it. A process that hangs is killed, and the next reading starts another. Without a driver there is none.
 */
export class CardWatch {
  readonly #root: string;
  readonly #timeoutMs: number;
  #asker: Asker | undefined;
  /** One that was killed and is not gone: the kernel holds it inside the driver. */
  #stuck: Asker | undefined;
  #reading: Promise<CardReading> | undefined;
  #isClosed = false;

  constructor({ root = "/", timeoutMs = TIMEOUT_MS }: CardWatchOptions = {}) {
    this.#root = root;
    this.#timeoutMs = timeoutMs;
  }

  /** Of the process that asks; undefined where there is none. For tests. */
  get pid(): number | undefined {
    return this.#asker?.pid;
  }

  /** What goes on now. Never rejects; `reason` says what is amiss. Who asks meanwhile gets the same. */
  read(): Promise<CardReading> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  close(): void {
    this.#isClosed = true;
    this.#asker?.kill();
  }

  async #read(): Promise<CardReading> {
    if (this.#isClosed) return noCards("nobody asks the NVIDIA driver any more");
    const library = findNvml(this.#root);
    if (library.path === null) return noCards(library.reason);
    // Each process that hangs keeps memory and locks of the driver; a second would hang like the first.
    if (this.#stuck?.isGone === false) return noCards("the NVIDIA driver hangs, and with it a process that asked it");
    this.#stuck = undefined;
    let asker = this.#asker;
    if (asker === undefined || asker.isGone) {
      try {
        asker = new Asker(library.path);
      } catch (error) {
        return noCards(`the NVIDIA driver could not be asked: ${(error as Error).message}`);
      }
      this.#asker = asker;
    }
    const reading = await asker.ask(this.#timeoutMs);
    if (reading !== null) return reading;
    asker.kill();
    this.#asker = undefined;
    this.#stuck = asker;
    return noCards(`the NVIDIA driver did not answer within ${this.#timeoutMs / 1000} s`);
  }
}

/** One life of the process that asks the driver. */
class Asker {
  readonly #process: ChildProcess;
  readonly #channel: Channel<object>;
  #answer: PromiseWithResolvers<CardReading | null> | undefined;
  #fault: string | undefined;

  constructor(libraryPath: string) {
    closeOthersOnExec();
    const program = fileURLToPath(new URL("../host/cards.ts", import.meta.url));
    this.#process = spawn(process.execPath, ["--disable-sigusr1", program, libraryPath], {
      // Nothing of this process's: LD_LIBRARY_PATH and LD_PRELOAD would decide what the library brings in.
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
      cwd: "/",
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    // Undefined, against Node's types, where this process has no descriptors left; its "error" event comes later.
    const channel = (this.#process.stdio as ChildProcess["stdio"] | undefined)?.[3] as Duplex | undefined;
    this.#process.once("error", (error) => this.#end(`the NVIDIA driver could not be asked: ${error.message}`));
    this.#process.once("exit", (_, signal) => {
      const how = signal === null ? "without an answer" : `by ${signal}`;
      this.#end(`the NVIDIA driver's library ended the process that asked it ${how}`);
    });
    if (channel === undefined) throw new Error("this process has no file descriptors left");
    this.#channel = new Channel(channel, {
      onMessage: (message) => {
        const reading = cardReadingSchema.safeParse(message);
        this.#settle(reading.success ? reading.data : noCards("the NVIDIA driver's answer makes no sense"));
      },
      onBroken: () => this.kill(),
      // Its exit says how it ended, right after.
      onEnd: () => {},
    });
    // The server does not stay alive for it.
    this.#process.unref();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isGone(): boolean {
    return this.#fault !== undefined;
  }

  /** Null where no answer came in time. */
  async ask(timeoutMs: number): Promise<CardReading | null> {
    if (this.#fault !== undefined) return noCards(this.#fault);
    this.#answer = Promise.withResolvers();
    const timer = setTimeout(() => this.#settle(null), timeoutMs);
    this.#channel.send({ type: "read" });
    return await this.#answer.promise.finally(() => clearTimeout(timer));
  }

  /** Even SIGKILL does not end a process that the kernel holds inside the driver, so it is not waited for. */
  kill(): void {
    this.#process.kill("SIGKILL");
    this.#channel.close();
    this.#settle(noCards("nobody asks the NVIDIA driver any more"));
  }

  #end(fault: string): void {
    this.#fault ??= fault;
    this.#settle(noCards(fault));
  }

  #settle(reading: CardReading | null): void {
    this.#answer?.resolve(reading);
    this.#answer = undefined;
  }
}
