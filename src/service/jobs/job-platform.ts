import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ArtifactStore, openArtifactStore } from "../../artifacts/index.ts";
import type { JobSettings } from "../../config/index.ts";
import { fileError, SignetError } from "../../errors.ts";
import { type JobOwner, openStore, type Store } from "../../store/index.ts";
import type { Log } from "../../telemetry/index.ts";
import type { Inference } from "../inference.ts";
import { ArtifactCleaner } from "./artifact-cleaner.ts";
import { JobClaimer } from "./job-claimer.ts";
import { JobHub } from "./job-hub.ts";
import { JobPayloads } from "./job-payloads.ts";
import { JobRoom } from "./job-room.ts";
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

/** In a store of its own a server hears of every change by itself. */
const ALONE_POLL_MS = 10_000;
const SHARED_POLL_MS = 1000;
const PRUNE_MS = 60_000;
const CLEAN_UPLOADS_MS = 60 * 60_000;
const MIB = 2 ** 20;
/** How long what ended after the last claim may take to be told to the store. */
const SETTLE_MS = 5000;

/** All of what jobs that outlive their call need: opened when the server starts, closed after its services. */
export class JobPlatform {
  readonly store: Store;
  readonly owner: JobOwner;
  readonly jobs: Jobs;
  readonly #options: JobPlatformOptions;
  readonly #cleaner: ArtifactCleaner;
  readonly #claimer: JobClaimer;
  readonly #hub = new JobHub();
  readonly #timers: NodeJS.Timeout[] = [];

  /** @throws STORE_UNAVAILABLE, STORE_UNUSABLE */
  static async open(options: JobPlatformOptions): Promise<JobPlatform> {
    const { settings, directory } = options;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fileError(directory, error);
    }
    const artifacts = await openArtifactStore(settings.artifacts, join(directory, "artifacts"));
    const { database } = settings;
    const place =
      database === null
        ? ({ kind: "sqlite", file: join(directory, "store.sqlite") } as const)
        : ({ kind: "postgres", url: database.reveal() } as const);
    const store = await openStore(place).catch((thrown) => {
      const error = SignetError.from(thrown);
      throw database === null
        ? error
        : new SignetError(error.code, `jobs.database: ${error.message}`, { cause: error });
    });
    return new JobPlatform(options, store, artifacts);
  }

  private constructor(options: JobPlatformOptions, store: Store, artifacts: ArtifactStore) {
    const { settings, inference, log, host } = options;
    this.#options = options;
    this.store = store;
    this.#cleaner = new ArtifactCleaner(artifacts, store);
    this.owner = { host, life: randomUUID() };
    const maxArtifactBytes = settings.maxArtifactMiB * MIB;
    const payloads = new JobPayloads(artifacts, maxArtifactBytes);
    const room = new JobRoom(options.directory, settings.minFreeMiB * MIB);
    const hub = this.#hub;
    const { leaseMs, maxAttempts, maxQueued } = settings;
    this.#claimer = new JobClaimer({ store, inference, payloads, room, owner: this.owner, leaseMs, hub, log });
    this.jobs = new Jobs({
      ...{ store, artifacts, cleaner: this.#cleaner, payloads, inference, claimer: this.#claimer, hub },
      ...{ room, maxAttempts, maxQueued, maxArtifactBytes },
      pollMs: settings.database === null ? ALONE_POLL_MS : SHARED_POLL_MS,
    });
  }

  /** For whoever watches. */
  get tally(): JobTally {
    return this.#claimer.tally;
  }

  /** Jobs run from now on, those that an earlier start left among them. @throws STORE_UNAVAILABLE */
  async start(): Promise<void> {
    await this.#claimer.start();
    const prune = () => this.#tidy(() => this.#prune());
    const cleanUploads = () => this.#tidy(() => this.#cleaner.cleanUploads());
    this.#timers.push(setInterval(prune, PRUNE_MS), setInterval(cleanUploads, CLEAN_UPLOADS_MS));
    prune();
    cleanUploads();
  }

  /** The service may take jobs now. */
  resume(service: string): void {
    this.#claimer.resume(service);
  }

  /** Another license is in force. */
  licenseChanged(): void {
    this.#claimer.retry();
  }

  /** No job begins from now on; those that run end, or are cut short, with their services. Nobody watches any more. */
  stop(): void {
    this.#claimer.stop();
    this.#hub.close();
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Once the services have ended. */
  async close(): Promise<void> {
    this.stop();
    await this.#claimer.settle(SETTLE_MS);
    await this.store.close();
  }

  async #prune(): Promise<void> {
    const { keepDays, keepMiB } = this.#options.settings;
    const left = await this.store.prune({ maxAgeMs: keepDays * 86_400_000, maxBytes: keepMiB * MIB });
    await this.#cleaner.clean(left);
  }

  #tidy(action: () => Promise<void>): void {
    action().catch((error) => {
      const { log } = this.#options;
      log.warn({ err: SignetError.from(error) }, "jobs and files that nobody needs stay for now; it is tried again");
    });
  }
}
