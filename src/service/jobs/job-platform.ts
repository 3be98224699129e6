import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type ArtifactStore, openArtifactStore } from "../../artifacts/index.ts";
import type { JobSettings } from "../../config/index.ts";
import { SignetError } from "../../errors.ts";
import { type JobOwner, openStore, type Store } from "../../store/index.ts";
import type { Log } from "../../telemetry/index.ts";
import type { Inference } from "../inference.ts";
import { JobClaimer } from "./job-claimer.ts";
import { JobHub } from "./job-hub.ts";
import { JobPayloads } from "./job-payloads.ts";
import type { JobTally } from "./job-tally.ts";
import { Jobs } from "./jobs.ts";

export interface JobPlatformOptions {
  readonly settings: JobSettings;
  /** Where the store and the artifacts lie that are on this machine. */
  readonly directory: string;
  /** What this host is called in the store: always the same, and another host's is another. */
  readonly host: string;
  readonly inference: Inference;
  readonly log: Log;
}

const PRUNE_MS = 60_000;
const MIB = 2 ** 20;
/** How long what ended after the last claim may take to be told to the store. */
const SETTLE_MS = 5000;

/** All of what jobs that outlive their call need: opened when the server starts, closed after its services. */
export class JobPlatform {
  readonly store: Store;
  readonly owner: JobOwner;
  readonly jobs: Jobs;
  readonly #options: JobPlatformOptions;
  readonly #artifacts: ArtifactStore;
  readonly #claimer: JobClaimer;
  readonly #hub = new JobHub();
  #pruning: NodeJS.Timeout | undefined;

  /** @throws STORE_UNAVAILABLE, STORE_UNUSABLE */
  static async open(options: JobPlatformOptions): Promise<JobPlatform> {
    const { settings, directory } = options;
    const artifacts = await openArtifactStore(settings.artifacts, join(directory, "artifacts"));
    const { database } = settings;
    const store = await openStore(
      database === null
        ? { kind: "sqlite", file: join(directory, "store.sqlite") }
        : { kind: "postgres", url: database.reveal() },
    );
    return new JobPlatform(options, store, artifacts);
  }

  private constructor(options: JobPlatformOptions, store: Store, artifacts: ArtifactStore) {
    const { settings, inference, log, host } = options;
    this.#options = options;
    this.store = store;
    this.#artifacts = artifacts;
    this.owner = { host, life: randomUUID() };
    const maxArtifactBytes = settings.maxArtifactMiB * MIB;
    const payloads = new JobPayloads(artifacts, maxArtifactBytes);
    const hub = this.#hub;
    const { leaseMs, maxAttempts, maxQueued } = settings;
    this.#claimer = new JobClaimer({ store, inference, payloads, owner: this.owner, leaseMs, hub, log });
    this.jobs = new Jobs({
      ...{ store, artifacts, payloads, inference, claimer: this.#claimer, hub },
      ...{ maxAttempts, maxQueued, maxArtifactBytes },
    });
  }

  /** For whoever watches. */
  get tally(): JobTally {
    return this.#claimer.tally;
  }

  /** Jobs run from now on, those that an earlier start left among them. @throws STORE_UNAVAILABLE */
  async start(): Promise<void> {
    await this.#claimer.start();
    this.#pruning = setInterval(() => void this.#prune(), PRUNE_MS);
    void this.#prune();
  }

  /** The service may take jobs now. */
  wake(service: string): void {
    this.#claimer.wake(service);
  }

  /** No job begins from now on; those that run end, or are cut short, with their services. Nobody watches any more. */
  stop(): void {
    this.#claimer.stop();
    this.#hub.close();
    clearInterval(this.#pruning);
  }

  /** Once the services have ended. */
  async close(): Promise<void> {
    this.stop();
    await this.#claimer.settle(SETTLE_MS);
    await this.store.close();
  }

  async #prune(): Promise<void> {
    const { settings, log } = this.#options;
    try {
      const { keepDays, keepMiB } = settings;
      const unused = await this.store.prune({ maxAgeMs: keepDays * 86_400_000, maxBytes: keepMiB * MIB });
      for (const sha256 of unused) await this.#artifacts.remove(sha256);
    } catch (error) {
      log.warn({ err: SignetError.from(error) }, "jobs that ended could not be cleared away; it is tried again");
    }
  }
}
