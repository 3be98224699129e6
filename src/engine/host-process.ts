import { fstatSync } from "node:fs";
import { type ErrorCode, errorCatalogue, SignetError } from "../errors.ts";
import {
  type InheritedFile,
  type InstanceFacts,
  type PluginFacts,
  parseInstanceFacts,
  parsePluginFacts,
  type Sandbox,
  type Slots,
} from "../plugin/index.ts";
import { Channel } from "./channel.ts";
import type { Child } from "./child.ts";
import type { VisibleGpus } from "./environment.ts";
import { Exchange, type Waiter } from "./exchange.ts";
import { forwardLines, type OutputLine } from "./plugin-output.ts";
import { BEAT_INTERVAL_MS, FIRST_FILE_FD, type FromHost, SLOTS_FD, type ToHost } from "./protocol.ts";
import { residentMemory } from "./resident-memory.ts";
import { startChild } from "./start-child.ts";

export interface HostProcessOptions {
  readonly service: string;
  /** Sealed files in load order; their descriptors are those of this process. */
  readonly files: readonly InheritedFile[];
  readonly config: unknown;
  readonly threads: number;
  /** They belong to the caller and may be used again once this process has ended. */
  readonly slots: Slots;
  /** What it may hold of the slots' memory, bytes, beyond which memory counts as its own. */
  readonly slotsInUseBytes: () => number;
  readonly startTimeoutMs: number;
  readonly memoryLimitBytes: number;
  /** An existing directory that becomes the child's HOME. */
  readonly home: string;
  /** Default `seccomp`. */
  readonly sandbox?: Sandbox;
  /** Default none; where there are some, its instance is made on the first. */
  readonly gpus?: VisibleGpus | undefined;
  /** Called now and then while jobs lie ahead. */
  readonly onLook: () => void;
  /** A line the plugin wrote to stdout or stderr. */
  readonly onOutput: (stream: "stdout" | "stderr", line: OutputLine) => void;
}

/** What the plugin said about itself when it was ready. */
export interface HostFacts {
  readonly plugin: PluginFacts;
  readonly instance: InstanceFacts;
}

// Generous, because on a loaded machine a healthy process can be kept from running for seconds.
const SILENCE_LIMIT_MS = 10_000;
/** Messages of a process beyond one a beat. Each takes time that other services need too. */
const SPARE_MESSAGES = 100;
const STOP_GRACE_MS = 2_000;
// A process that is gone has closed its end of the channel, unless the plugin left another behind that has it too.
const LAST_WORDS_MS = 200;

/**
 * One life of a service's child process, from fork to exit. It starts, answers runs, and ends once: by
 * itself (a crash), by `kill`, or by `stop`. Whatever was running then is rejected with one clear reason.
 */
export class HostProcess {
  /** Resolves when the plugin is ready; rejects if the process ends first. */
  readonly ready: Promise<HostFacts>;
  /** Resolves, never rejects, when the process is gone: with why, or null after an orderly stop. */
  readonly ended: Promise<SignetError | null>;
  readonly #options: HostProcessOptions;
  readonly #child: Child;
  readonly #channel: Channel<ToHost>;
  readonly #exchange: Exchange;
  /**
   * Beats of this process since the other was heard. Counted, not timed: a gateway that was itself kept from running
   * finds its timer due before the messages that came meanwhile.
   */
  #silentBeats = 0;
  readonly #startedMs = performance.now();
  #messages = 0;
  /** What it may have mapped of its files, by the loader and by the plugin. */
  readonly #fileBytes: number;
  #isReady = false;
  #stopping = false;
  #reason: SignetError | undefined;

  constructor(options: HostProcessOptions) {
    this.#options = options;
    const { threads } = options;
    this.#fileBytes = options.files.reduce((sum, { fd }) => sum + 2 * fstatSync(fd).size, 0);
    this.#exchange = new Exchange(options.slots, (what) => this.kill(this.#nonsense(what)), options.onLook);
    try {
      this.#child = startChild({
        program: "main.ts",
        home: options.home,
        sandbox: options.sandbox,
        gpus: options.gpus,
        threads,
        inherited: [options.slots.fd, this.#exchange.fd, ...options.files.map((file) => file.fd)],
      });
    } catch (error) {
      this.#exchange.close(SignetError.from(error));
      throw error;
    } finally {
      this.#exchange.handedOver();
    }
    for (const stream of ["stdout", "stderr"] as const) {
      forwardLines(this.#child[stream], (line) => options.onOutput(stream, line));
    }

    const ready = Promise.withResolvers<HostFacts>();
    this.ready = ready.promise;
    const startTimer = setTimeout(() => {
      this.kill(
        new SignetError("SERVICE_START_FAILED", `${options.service}: not ready after ${options.startTimeoutMs} ms`),
      );
    }, options.startTimeoutMs);
    this.ready.then(
      () => clearTimeout(startTimer),
      () => clearTimeout(startTimer), // `ended` tells the same story to whoever does not wait for ready
    );
    const channelEnd = Promise.withResolvers<void>();
    this.#channel = new Channel(this.#child.channel, {
      onMessage: (message) => {
        try {
          this.#receive(message as FromHost, ready);
        } catch (error) {
          this.kill(error instanceof SignetError ? error : this.#nonsense("an unreadable message"));
          this.#channel.close(); // nothing that follows is believed
        }
      },
      onBroken: (what) => this.kill(this.#nonsense(what)),
      onEnd: () => {
        // Without a channel it can do nothing more. No reason is given: mostly it is gone already, and its exit says why.
        this.#child.kill();
        channelEnd.resolve();
      },
    });
    const watch = setInterval(() => this.#watch(), BEAT_INTERVAL_MS);
    this.ended = new Promise((resolve) => {
      const end = (what: string) => {
        clearInterval(watch);
        // What it did to the end counts, though it could not say so any more.
        if (!this.#reason) this.#exchange.takeCompleted();
        const error = this.#stopping && !this.#reason ? null : (this.#reason ?? this.#crash(what));
        const reason = error ?? new SignetError("SHUTTING_DOWN", `${options.service} is stopping`);
        ready.reject(reason);
        this.#exchange.close(reason);
        resolve(error);
      };
      this.#child.onError((error) => end(`could not be started: ${error.message}`));
      this.#child.onEnd("exit", async (how) => {
        // What it said last may say why it ended, and may still have to be read.
        const timer = setTimeout(() => this.#channel.close(), LAST_WORDS_MS);
        await channelEnd.promise;
        clearTimeout(timer);
        end(how);
      });
    });
    this.#send({
      type: "start",
      files: options.files.map((file, index) => ({ ...file, fd: FIRST_FILE_FD + index })),
      config: options.config,
      device: options.gpus === undefined || options.gpus.length === 0 ? "cpu" : "cuda",
      threads,
      slots: { fd: SLOTS_FD, layout: options.slots.layout },
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Its own memory, bytes: without what it shares with this process. 0 if the process is gone. */
  get memoryBytes(): number {
    const { private: own, shared } = residentMemory(this.#child.pid);
    // What it maps of slots and sealed files is not told apart from what it made itself, so what it may map is taken off.
    return own + Math.max(0, shared - this.#fileBytes - this.#options.slotsInUseBytes());
  }

  /** True once nothing new may be given to it. */
  get isEnding(): boolean {
    return this.#reason !== undefined || this.#stopping || this.#child.hasEnded;
  }

  /** Runs the job whose inputs and task were written into `slot`, when a thread is free. @param expectedRunUs Infinity if unknown */
  run(slot: number, waiter: Waiter, expectedRunUs: number): void {
    if (this.isEnding) waiter.lost(this.#reason ?? this.#crash("had already ended"));
    else this.#exchange.give(slot, waiter, expectedRunUs);
  }

  /** The job in a slot was taken back before it ran; `waiter` hears when the slot is free. */
  exchangeWaiter(slot: number, waiter: Waiter): void {
    this.#exchange.exchangeWaiter(slot, waiter);
  }

  /** Ends the process at once; everything in it fails with `reason`. */
  kill(reason: SignetError): void {
    this.#reason ??= reason;
    this.#exchange.stopListening();
    this.#child.kill();
  }

  /** Lets the plugin destroy its instance, then ends the process. Call when nothing runs in it. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#send({ type: "stop" });
    const timer = setTimeout(() => this.#child.kill(), STOP_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  #send(message: ToHost): void {
    this.#channel.send(message);
  }

  #receive(message: FromHost, ready: PromiseWithResolvers<HostFacts>): void {
    this.#silentBeats = 0;
    const dueMessages = (performance.now() - this.#startedMs) / BEAT_INTERVAL_MS;
    if (++this.#messages > dueMessages + SPARE_MESSAGES) throw this.#nonsense("more messages than there is a need for");
    // From then on a plugin may be the one who speaks, and could have its service refused in the operator's name.
    if (this.#isReady && message.type !== "beat") throw this.#nonsense("word of its start after it had started");
    switch (message.type) {
      case "ready":
        ready.resolve({ plugin: parsePluginFacts(message.plugin), instance: parseInstanceFacts(message.instance) });
        this.#isReady = true;
        break;
      case "failed": {
        const code: ErrorCode = isErrorCode(message.code) ? message.code : "SERVICE_START_FAILED";
        this.#reason ??= new SignetError(code, `${this.#options.service}: ${textOf(message.message)}`);
        break;
      }
      case "beat":
        break;
      default:
        throw this.#nonsense("a message of an unknown type");
    }
  }

  /** Looks after what the child cannot be trusted to report: silence and memory. */
  #watch(): void {
    if (this.#reason) return;
    // Until it is ready it says nothing: the plugin has the thread that would.
    if (this.#isReady) this.#silentBeats++;
    if (this.#silentBeats * BEAT_INTERVAL_MS > SILENCE_LIMIT_MS) {
      this.kill(
        new SignetError("SERVICE_UNRESPONSIVE", `${this.#options.service}: not heard for ${SILENCE_LIMIT_MS / 1000} s`),
      );
      return;
    }
    const bytes = this.memoryBytes;
    if (bytes > this.#options.memoryLimitBytes) {
      const found = Math.round(bytes / 2 ** 20);
      const limit = Math.round(this.#options.memoryLimitBytes / 2 ** 20);
      this.kill(
        new SignetError(
          "SERVICE_OUT_OF_MEMORY",
          `${this.#options.service}: expected at most ${limit} MiB, found ${found} MiB`,
        ),
      );
    }
  }

  #nonsense(what: string): SignetError {
    return new SignetError("SERVICE_PROTOCOL", `${this.#options.service}: sent ${what}`);
  }

  #crash(what: string): SignetError {
    const code = this.#isReady ? "SERVICE_CRASHED" : "SERVICE_START_FAILED";
    return new SignetError(code, `${this.#options.service}: its process ${what}`);
  }
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(errorCatalogue, code);
}

/** What the child says in words, if it is words. */
function textOf(words: unknown): string {
  return typeof words === "string" ? words.slice(0, 2000) : "no reason given";
}
