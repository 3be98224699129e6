import { SignetError } from "../errors.ts";
import type { InheritedFile, Sandbox } from "../plugin/index.ts";
import type { TensorSpec } from "../tensor/index.ts";
import { ServicePlace, type ServicePlacement } from "./devices/service-place.ts";
import { type HostFacts, HostProcess } from "./host-process.ts";
import type { ServiceEvent, ServiceState } from "./service-state.ts";
import type { SlotPool } from "./slot-pool.ts";
import { WarmUp, type WarmUpRequest } from "./warm-up.ts";

export interface SupervisorOptions {
  readonly name: string;
  /** Sealed files in load order. */
  readonly files: readonly InheritedFile[];
  readonly config: unknown;
  /** What the license promises clients; a plugin that offers anything else is refused. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly threads: number;
  readonly pool: SlotPool;
  readonly memoryLimitBytes: number;
  /** How long loading may take, and warming up after that. */
  readonly startTimeoutMs: number;
  /** What each process runs before it is ready. */
  readonly warmUp?: () => Promise<readonly WarmUpRequest[]>;
  readonly home: string;
  /** Default `seccomp`. */
  readonly sandbox?: Sandbox;
  /** Default: its processes need nothing of this host that could be short. */
  readonly placement?: ServicePlacement | undefined;
  /** Somebody waits for its place: rests, if it has nothing to do. @returns whether it does */
  readonly giveWay?: () => boolean;
  /** Ends of the process in a row, with no success between them, after which no other follows; 0, the default, for never. */
  readonly quarantineAfter?: number;
  readonly onEvent: (event: ServiceEvent) => void;
  /** The jobs that may have printed what was not there to be read at that time, on the clock of performance.now(). */
  readonly writersSince?: (ms: number) => readonly string[];
  /** Called now and then while jobs lie ahead in the process. */
  readonly onLook: () => void;
  /** The process is ready for jobs. */
  readonly onReady: () => void;
  /** The process is gone and no other will follow, because the service was stopped, refused or quarantined. */
  readonly onGone: () => void;
  /** The process is gone because there was nothing to do. */
  readonly onRested?: () => void;
}

const MAX_BACK_OFF_MS = 30_000;
const FIRST_BACK_OFF_MS = 100;

/** Keeps one service's process alive: starts it, and starts it again when it ends, ever later if it keeps ending. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  #host: HostProcess | undefined;
  /** While that is not ready yet. */
  #warmUp: WarmUp | undefined;
  #state: ServiceState = "starting";
  #facts: HostFacts | undefined;
  #refusal: SignetError | undefined;
  #lastError: SignetError | undefined;
  #quarantine: SignetError | undefined;
  /** Ends of the process since a job last succeeded. */
  #endsInARow = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  readonly #place: ServicePlace | undefined;
  /** How often a place was looked for. */
  #starts = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { name, placement, giveWay = () => false } = options;
    if (placement !== undefined) this.#place = new ServicePlace(name, placement, this, giveWay);
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** What the plugin said about itself; undefined before it was first ready. */
  get facts(): HostFacts | undefined {
    return this.#facts;
  }

  /** Why the service was refused; undefined if it was not. */
  get refusal(): SignetError | undefined {
    return this.#refusal;
  }

  /** Why the process last ended. */
  get lastError(): SignetError | undefined {
    return this.#lastError;
  }

  /** Why no process is started any more until somebody asks for it; undefined where that is not so. */
  get quarantine(): SignetError | undefined {
    return this.#state === "quarantined" ? this.#quarantine : undefined;
  }

  /** Ends of the process since a job last succeeded. */
  get endsInARow(): number {
    return this.#endsInARow;
  }

  /** What it waits for before its process can start, in words for people; undefined while it does not. */
  get waitingFor(): string | undefined {
    return this.#state === "waiting" ? this.#place?.waitingFor : undefined;
  }

  /** The GPUs that are kept for its processes, such as `gpu:0`. */
  get devices(): readonly string[] {
    return this.#place?.devices ?? [];
  }

  get pid(): number | undefined {
    return this.#host?.pid;
  }

  /** Private memory of the process, bytes; 0 where there is none. */
  get memoryBytes(): number {
    return this.#host?.memoryBytes ?? 0;
  }

  /** The process, if it takes jobs; also while stopped or unloaded, so that what waits can still run. */
  get host(): HostProcess | undefined {
    const isLeaving = this.#state === "stopped" || this.#state === "unloaded";
    const mayRun = this.#state === "ready" || (isLeaving && this.#facts !== undefined);
    return mayRun && this.#host && !this.#host.isEnding ? this.#host : undefined;
  }

  /** Starts the process. Resolves with null when it is ready, else with the error of this try; others follow. */
  async start(): Promise<SignetError | null> {
    const { name, pool, onEvent, onReady, writersSince, ...options } = this.#options;
    if (this.#state === "quarantined") this.#endsInARow = 0;
    this.#setState("starting");
    const unplaced = this.#place === undefined ? null : await this.#findPlace(this.#place);
    if (unplaced !== null) return unplaced;
    let host: HostProcess;
    try {
      host = new HostProcess({
        ...options,
        service: name,
        slots: pool.slots,
        slotsInUseBytes: () => pool.inUseBytes,
        gpus: this.#place?.visibleGpus,
        onOutput: (stream, { line, dropped, notBeforeMs }) => {
          const jobs = writersSince?.(notBeforeMs) ?? [];
          onEvent({ type: "output", stream, line, pid: host.pid ?? null, jobs, dropped });
        },
      });
    } catch (error) {
      // A try like any other: nobody waits for the restarts, so what they threw would end the gateway.
      const failure = SignetError.from(error);
      this.#hostEnded(failure);
      return failure;
    }
    this.#host = host;
    void host.ended.then((error) => this.#hostEnded(error));
    try {
      const facts = await host.ready;
      verifyTensors(facts, this.#options);
      await this.#warm(host);
      this.#facts = facts;
    } catch (error) {
      const failure = SignetError.from(error);
      host.kill(failure);
      await host.ended;
      return failure;
    }
    if (this.#host === host && this.#state === "starting") {
      this.#setState("ready");
      onReady();
    }
    return null;
  }

  /** Null when there is a place for the process; else why not. It is started when there is one. */
  async #findPlace(place: ServicePlace): Promise<SignetError | null> {
    const start = ++this.#starts;
    const unplaced = await place.ensure(() => {
      if (this.#state === "waiting") void this.start();
    });
    if (this.#state !== "starting" || start !== this.#starts) {
      // Nobody wants it any more, or it was stopped and started again meanwhile.
      this.#giveBackUnused();
      return new SignetError("SERVICE_NOT_READY", `${this.#options.name} is ${this.#state}`);
    }
    if (unplaced === null) return null;
    this.#lastError = unplaced;
    this.#setState("waiting");
    return unplaced;
  }

  /** What was kept for its processes is for others, once there is none and none will follow for now. */
  #giveBackUnused(): void {
    const isWanted = ["waiting", "starting", "ready", "backing-off"].includes(this.#state);
    if (!isWanted && this.#host === undefined) this.#place?.giveBack();
  }

  /** Ends the process, which has nothing to do, until somebody wakes it. */
  rest(): void {
    if (this.#state !== "ready") return;
    this.#setState("idle");
    void this.#host?.stop();
  }

  /** Starts the process again after `rest`. Resolves as `start` does; with null where it does not rest. */
  async wake(): Promise<SignetError | null> {
    await this.#host?.ended;
    return this.#state === "idle" ? await this.start() : null;
  }

  async #warm(host: HostProcess): Promise<void> {
    const { name, pool, outputs, startTimeoutMs, warmUp } = this.#options;
    if (!warmUp) return;
    this.#warmUp = new WarmUp({ service: name, host, pool, outputs, timeoutMs: startTimeoutMs });
    await this.#warmUp.run(await warmUp());
    this.#warmUp = undefined;
  }

  /** A job succeeded: the process is healthy, and if it ends the next one starts at once. */
  recordSuccess(): void {
    this.#endsInARow = 0;
  }

  /** Starts no process again, for this reason. The present one goes on until `end`. False if already so. */
  refuse(error: SignetError): boolean {
    if (this.#refusal || this.#state === "stopped") return false;
    this.#refusal = error;
    this.#setState("refused");
    clearTimeout(this.#restartTimer);
    return true;
  }

  /** Starts no process again. The present one goes on until `end`. */
  stop(): void {
    this.#setState("stopped");
    clearTimeout(this.#restartTimer);
  }

  /** Starts no process again until `start` is called. The present one goes on until `end`. */
  unload(): void {
    this.#setState("unloaded");
    clearTimeout(this.#restartTimer);
    this.#endsInARow = 0;
  }

  /** Ends the process: in order, or at once where a reason is given for the jobs in it. */
  async end(reason?: SignetError): Promise<void> {
    const host = this.#host;
    if (!host) return;
    if (!reason) return await host.stop();
    host.kill(reason);
    await host.ended;
  }

  #hostEnded(reason: SignetError | null): void {
    const warmUp = this.#warmUp;
    this.#host = undefined;
    this.#warmUp = undefined;
    this.#giveBackUnused();
    if (this.#state === "idle") {
      this.#options.onRested?.();
      return;
    }
    if (this.#state === "stopped" || this.#state === "unloaded" || this.#refusal || reason === null) {
      this.#options.onGone();
      return;
    }
    const error = warmUp?.explain(reason) ?? reason;
    this.#lastError = error;
    this.#endsInARow++;
    if (this.#endsInARow === this.#options.quarantineAfter) {
      this.#options.onEvent({ type: "ended", error, restartInMs: null });
      this.#beginQuarantine(error);
      return;
    }
    // The first restart is immediate, so that one crash costs callers a fraction of a second.
    const restartInMs =
      this.#endsInARow === 1 ? 0 : Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (this.#endsInARow - 2));
    this.#options.onEvent({ type: "ended", error, restartInMs });
    this.#setState("backing-off");
    this.#restartTimer = setTimeout(() => void this.start(), restartInMs);
  }

  #beginQuarantine(cause: SignetError): void {
    const { name, onGone } = this.#options;
    const words = `its process ended ${this.#endsInARow} times in a row, the last time with ${cause.code}: ${cause.message}`;
    this.#quarantine = new SignetError("SERVICE_QUARANTINED", `${name}: ${words}`, { cause });
    this.#setState("quarantined");
    onGone();
  }

  #setState(state: ServiceState): void {
    if (this.#state === "stopped" || (this.#state === "refused" && state !== "stopped")) return;
    this.#state = state;
    this.#giveBackUnused();
    if (state !== "refused" && state !== "quarantined") {
      this.#options.onEvent({ type: "state", state });
      return;
    }
    const reason = state === "refused" ? this.#refusal : this.#quarantine;
    if (reason) this.#options.onEvent({ type: "state", state, reason });
  }
}

/** The plugin must offer what the license says its clients are promised. */
function verifyTensors(facts: HostFacts, licensed: SupervisorOptions): void {
  for (const side of ["inputs", "outputs"] as const) {
    const found = describeSpecs(facts.instance[side]);
    const expected = describeSpecs(licensed[side]);
    if (found !== expected) {
      throw new SignetError(
        "PLUGIN_INCOMPATIBLE",
        `${licensed.name}: licensed ${side} ${expected}, the plugin has ${found}`,
      );
    }
  }
}

function describeSpecs(specs: readonly TensorSpec[]): string {
  return specs.map(({ name, datatype, shape }) => `${name} ${datatype}[${shape}]`).join(", ");
}
