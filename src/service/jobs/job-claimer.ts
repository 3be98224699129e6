import { SignetError } from "../../errors.ts";
import type { JobOwner, StoredJob } from "../../store/index.ts";
import type { Service } from "../inference.ts";
import { type AttemptParts, JobAttempt } from "./job-attempt.ts";
import type { JobHub } from "./job-hub.ts";
import { JobTally } from "./job-tally.ts";

export interface JobClaimerOptions extends AttemptParts {
  readonly owner: JobOwner;
  readonly leaseMs: number;
  readonly hub: JobHub;
}

/** How often the store is asked what is left lying: jobs of processes that are gone, and what nobody was told of. */
const SWEEP_MS = 1000;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;

/** How one service stands with its jobs. */
interface Line {
  readonly attempts: Set<JobAttempt>;
  isClaiming: boolean;
  /** Something may have come while the store was being asked. */
  isStale: boolean;
  /** Nothing is claimed before this time, on the clock of performance.now(). */
  pausedUntilMs: number;
  pauses: number;
  obstacle: SignetError | null;
}

/**
 * Takes jobs out of the store when their service has a turn for them, and sees them through: renews what it has, learns
 * from the answer what was cancelled, and takes up what others left lying.
 */
export class JobClaimer {
  readonly tally = new JobTally();
  readonly #options: JobClaimerOptions;
  readonly #lines = new Map<string, Line>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #under = new Set<Promise<void>>();
  #isStopped = false;
  #isSweeping = false;
  #isRenewing = false;
  #fault: string | undefined;

  constructor(options: JobClaimerOptions) {
    this.#options = options;
  }

  /** Takes up at once what earlier lives of this server left. @throws STORE_UNAVAILABLE, STORE_UNUSABLE */
  async start(): Promise<void> {
    const left = await this.#options.store.sweep(this.#options.owner);
    if (left.length > 0) this.#options.log.info({ jobs: left.length }, "jobs of an earlier start are taken up");
    this.#timers.push(
      setInterval(() => void this.#sweep(), SWEEP_MS),
      setInterval(() => void this.#renew(), this.#options.leaseMs / 3),
    );
    await this.#sweep();
  }

  /** There are jobs for the service. */
  wake(service: string): void {
    const runner = this.#serviceOf(service)?.runner;
    if (runner?.state === "idle" && !this.#isStopped) runner.wake();
    this.resume(service);
  }

  /** The service may have turns for jobs. */
  resume(service: string): void {
    void this.#claim(service);
  }

  /** What kept jobs from running may be over, such as a license that is used up. */
  retry(): void {
    for (const [service, line] of this.#lines) {
      line.pausedUntilMs = Number.NEGATIVE_INFINITY;
      line.pauses = 0;
      this.resume(service);
    }
  }

  /** What runs here. */
  attempt(jobId: string): JobAttempt | undefined {
    for (const { attempts } of this.#lines.values()) {
      for (const attempt of attempts) if (attempt.id === jobId) return attempt;
    }
    return undefined;
  }

  /** What runs here of a service. */
  attemptsOf(service: string): readonly JobAttempt[] {
    return [...(this.#lines.get(service)?.attempts ?? [])];
  }

  /** Why jobs of the service wait, whatever their place; null where it takes them. */
  obstacleOf(service: string): SignetError | null {
    const line = this.#lines.get(service);
    return line !== undefined && line.pausedUntilMs > performance.now() ? line.obstacle : null;
  }

  /** Claims nothing from now on. */
  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  /**
   * Resolves when all that ran here is in the store, or `withinMs` have passed; the next start takes up what is not.
   * Only after `stop`.
   */
  async settle(withinMs: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, withinMs);
    await Promise.race([Promise.all([...this.#under]), timeout.promise]);
    clearTimeout(timer);
    for (const { attempts } of this.#lines.values()) for (const attempt of attempts) attempt.abandon();
  }

  async #claim(name: string): Promise<void> {
    const line = this.#lineOf(name);
    if (line.isClaiming) {
      line.isStale = true;
      return;
    }
    line.isClaiming = true;
    try {
      do {
        line.isStale = false;
        const most = this.#roomOf(name, line);
        if (most <= 0) break;
        const { store, owner, leaseMs } = this.#options;
        const claims = await store.claim(owner, name, most, leaseMs);
        for (const claim of claims) this.#take(line, new JobAttempt(this.#options, claim));
        this.#works();
      } while (line.isStale);
    } catch (error) {
      this.#fails(error); // the next sweep wakes every service that has jobs
    } finally {
      line.isClaiming = false;
    }
  }

  /** How many jobs the service can be given now, because they would run at once. */
  #roomOf(name: string, line: Line): number {
    if (this.#isStopped || line.pausedUntilMs > performance.now()) return 0;
    const service = this.#serviceOf(name);
    if (service === undefined || !service.runner.isServing) return 0;
    try {
      service.authorization.verifyLeft();
    } catch (error) {
      this.#pause(line, SignetError.from(error));
      return 0;
    }
    return service.conf.limits.concurrency - line.attempts.size;
  }

  #take(line: Line, attempt: JobAttempt): void {
    const { hub } = this.#options;
    const { service } = attempt.claim.job;
    line.attempts.add(attempt);
    hub.changed(attempt.id);
    const under = attempt.run().then(({ obstacle, outcome }) => {
      if (outcome !== null) this.tally.count(service, outcome);
      line.attempts.delete(attempt);
      this.#under.delete(under);
      if (obstacle === null) line.pauses = 0;
      else this.#pause(line, obstacle);
      hub.changed(attempt.id);
      this.resume(service);
    });
    this.#under.add(under);
  }

  #pause(line: Line, obstacle: SignetError): void {
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** line.pauses);
    line.pauses++;
    line.obstacle = obstacle;
    line.pausedUntilMs = performance.now() + pauseMs;
  }

  async #sweep(): Promise<void> {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    const { store, owner, hub } = this.#options;
    try {
      for (const { id } of await store.sweep(owner)) hub.changed(id);
      this.tally.loads = await store.load();
      for (const { service, queued } of this.tally.loads) {
        if (queued === 0) continue;
        if (this.#serviceOf(service) === undefined) await this.#failOrphans(service);
        else this.wake(service);
      }
      this.#works();
    } catch (error) {
      this.#fails(error);
    } finally {
      this.#isSweeping = false;
    }
  }

  /** Jobs of a service that the license has no more. */
  async #failOrphans(service: string): Promise<void> {
    const { store, hub } = this.#options;
    const message = `${service}: the license has no such service any more`;
    const failed: readonly StoredJob[] = await store.failQueued(service, { code: "SERVICE_NOT_FOUND", message });
    for (const { id } of failed) hub.changed(id);
  }

  async #renew(): Promise<void> {
    const attempts = [...this.#lines.values()].flatMap((line) => [...line.attempts]);
    if (attempts.length === 0 || this.#isRenewing) return;
    this.#isRenewing = true;
    const { store, leaseMs } = this.#options;
    try {
      const verdicts = await store.renew(
        attempts.map(({ renewal }) => renewal),
        leaseMs,
      );
      verdicts.forEach((verdict, index) => {
        if (verdict === "cancel") attempts[index]!.cancel();
        if (verdict === "lost") attempts[index]!.abandon();
      });
      this.#works();
    } catch (error) {
      this.#fails(error);
    } finally {
      this.#isRenewing = false;
    }
  }

  #serviceOf(name: string): Service | undefined {
    return this.#options.inference.services.find(({ conf }) => conf.name === name);
  }

  #lineOf(service: string): Line {
    let line = this.#lines.get(service);
    if (line === undefined) {
      line = {
        ...{ attempts: new Set<JobAttempt>(), isClaiming: false, isStale: false },
        ...{ pausedUntilMs: Number.NEGATIVE_INFINITY, pauses: 0, obstacle: null },
      };
      this.#lines.set(service, line);
    }
    return line;
  }

  #works(): void {
    if (this.#fault !== undefined) this.#options.log.info("the store of jobs works again");
    this.#fault = undefined;
    this.tally.isStoreUp = true;
  }

  /** Said once until it works again. */
  #fails(thrown: unknown): void {
    const error = SignetError.from(thrown);
    this.tally.isStoreUp = false;
    if (this.#fault === error.code) return;
    this.#fault = error.code;
    this.#options.log.error({ err: error }, "the store of jobs does not work; jobs wait until it does");
  }
}
