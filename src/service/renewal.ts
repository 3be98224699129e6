import { isDeepStrictEqual } from "node:util";
import type { DataDirectory } from "../config/index.ts";
import type { ServiceRunner } from "../engine/index.ts";
import { SignetError } from "../errors.ts";
import {
  type HostKey,
  type Ledger,
  loadTrustRoots,
  type ServiceConf,
  type TrustRoot,
  verifyListsCurrent,
  verifyNotRevoked,
  verifyStillTrusted,
} from "../license/index.ts";
import type { SealedFiles } from "../plugin/index.ts";
import type { Log } from "../telemetry/index.ts";
import { type AuthorizedService, type FirstAuthorization, loadRevocationLists } from "./first-authorization.ts";
import type { Inference, Service } from "./inference.ts";
import { authorizeInstalled, type InstalledAuthorization, installedVersion } from "./installed-authorization.ts";
import type { ServingState } from "./serving-state.ts";

export interface RenewalParts {
  readonly data: DataDirectory;
  readonly log: Log;
  readonly ledger: Ledger;
  readonly sealedFiles: SealedFiles;
  readonly inference: Inference;
  createRunner(service: AuthorizedService): ServiceRunner;
  createService(first: FirstAuthorization<Ledger>, service: AuthorizedService, runner: ServiceRunner): Service;
  /** Remembers in the ledger that the license is in use. @throws LICENSE_SUPERSEDED, LEDGER_UNWRITABLE */
  admit(first: FirstAuthorization<Ledger>): void;
  onRenewed(first: FirstAuthorization<Ledger>): void;
  onRefused(error: SignetError): void;
  /** After either. `removed` names the services that are no longer there. */
  onChange(removed: readonly string[]): Promise<void>;
}

/** A service of the new license, and what it will run in. */
interface Successor {
  readonly service: AuthorizedService;
  readonly runner: ServiceRunner;
  readonly isStarted: boolean;
}

/**
 * Renewal in place. A license that was installed while the server runs is authorized beside the one in force, by the
 * same steps. What its services need is started beside what runs; when that is ready all is switched between two
 * calls, and what nobody needs any more ends after its last job. Until then, and for good where the new license is
 * refused, the one in force stays as it is.
 */
export class LicenseRenewal {
  readonly #parts: RenewalParts;
  #inForce: InstalledAuthorization<Ledger>;
  #since = new Date().toISOString();
  /** The version that was last decided on, for or against. */
  #judged: string;
  #refused: ServingState["refused"] = null;
  #work: Promise<void> = Promise.resolve();
  #isQueued = false;
  #isStopped = false;
  readonly #starting = new Set<ServiceRunner>();
  readonly #retiring = new Map<ServiceRunner, { readonly ended: Promise<void>; readonly service: AuthorizedService }>();

  constructor(inForce: InstalledAuthorization<Ledger>, parts: RenewalParts) {
    this.#inForce = inForce;
    this.#judged = inForce.version;
    this.#parts = parts;
  }

  get inForce(): FirstAuthorization<Ledger> {
    return this.#inForce.first;
  }

  /** For commands that run beside the server. */
  get state(): ServingState {
    const { licenseId, sequence } = this.inForce.authorized.license;
    return { licenseId, sequence, since: this.#since, refused: this.#refused };
  }

  /** Looks whether something else is installed than what was last decided on. Never rejects. */
  check(): Promise<void> {
    // One that waits will see whatever is there by then.
    if (this.#isQueued || this.#isStopped) return this.#work;
    this.#isQueued = true;
    return this.#enqueue(async () => {
      this.#isQueued = false;
      const version = await installedVersion(this.#parts.data);
      if (version !== this.#judged && !this.#isStopped) await this.#judge(version);
    });
  }

  /** Ends what is being started, and within `drainMs` what is being drained. Nothing is renewed from now on. */
  async stop(drainMs: number): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#starting].map((runner) => runner.stop(0)));
    await this.#work;
    const timer = setTimeout(() => this.kill(), drainMs);
    await Promise.all([...this.#retiring.values()].map(({ ended }) => ended));
    clearTimeout(timer);
  }

  /** Ends all of that at once. */
  kill(): void {
    this.#isStopped = true;
    for (const runner of [...this.#starting, ...this.#retiring.keys()]) runner.kill();
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    const { log } = this.#parts;
    this.#work = this.#work.then(task).catch((error) => log.error({ err: error }, "looking at the license failed"));
    return this.#work;
  }

  async #judge(version: string): Promise<void> {
    const { log, onChange, onRenewed, onRefused } = this.#parts;
    let removed: string[] = [];
    try {
      await this.#verifyInForce();
      removed = await this.#renew();
      this.#refused = null;
      onRenewed(this.inForce);
    } catch (thrown) {
      if (this.#isStopped) return;
      const error = SignetError.from(thrown);
      this.#refused = { code: error.code, message: error.message, at: new Date().toISOString() };
      const { licenseId, sequence } = this.inForce.authorized.license;
      const isServed = this.#parts.inference.services.some(({ runner }) => runner.state !== "refused");
      log.error(
        { err: error, inForce: { licenseId, sequence } },
        isServed ? "the installed license is refused; the one in force stays" : "the installed license is refused",
      );
      onRefused(error);
    } finally {
      this.#judged = version;
      this.#forgetFiles();
    }
    await onChange(removed);
  }

  /**
   * A license that its vendor takes back, or this host trusts no longer, stops its services now and not at the next
   * start.
   */
  async #verifyInForce(): Promise<void> {
    const { data, ledger } = this.#parts;
    const { license, issuer } = this.inForce.authorized;
    const roots = await loadPinnedRoots(data.trustDir);
    const isTrusted = this.#stopUnless("hangs on no pinned root any more", () => verifyStillTrusted(issuer, roots));
    if (!isTrusted) return;
    const lists = await loadRevocationLists(data.revocationDir, roots);
    verifyListsCurrent(issuer, lists, ledger.revocationNumbers);
    ledger.admitRevocations(lists);
    this.#stopUnless("was withdrawn", () => verifyNotRevoked(license, issuer, lists));
  }

  /** @returns whether the license in force still holds, as `verify` says by not throwing */
  #stopUnless(what: string, verify: () => void): boolean {
    try {
      verify();
      return true;
    } catch (thrown) {
      const error = SignetError.from(thrown);
      this.#parts.log.error({ err: error }, `the license in force ${what}; its services stop`);
      for (const { runner } of this.#parts.inference.services) runner.refuse(error);
      return false;
    }
  }

  /** @returns the names of services that are no longer licensed */
  async #renew(): Promise<string[]> {
    const { data, sealedFiles, inference, createService, admit, log } = this.#parts;
    const next = await authorizeInstalled(data, (hostKey) => this.#ledgerOf(hostKey), sealedFiles);
    const before = inference.services;
    let successors: Successor[];
    try {
      successors = await this.#prepare(next.first.services, before);
      if (this.#isStopped) throw new SignetError("SHUTTING_DOWN", "the server is stopping");
      admit(next.first);
    } catch (error) {
      next.directory.close();
      await this.#discardStarted();
      throw error;
    }
    // From here to the end nothing waits, so that every call sees either the one license or the other.
    const old = this.#inForce;
    const services = successors.map(({ service, runner }) => createService(next.first, service, runner));
    inference.replaceServices(services);
    this.#inForce = next;
    this.#since = new Date().toISOString();
    this.#starting.clear();
    const kept = new Set(successors.map(({ runner }) => runner));
    for (const service of old.first.services) service.files.stopWatching();
    for (const { conf, runner } of before) {
      if (!kept.has(runner)) this.#retire(runner, old.first.services.find((each) => each.conf.name === conf.name)!);
    }
    old.directory.close();
    const names = new Set(services.map(({ conf }) => conf.name));
    const removed = before.map(({ conf }) => conf.name).filter((name) => !names.has(name));
    const started = successors.filter(({ isStarted }) => isStarted).map(({ service }) => service.conf.name);
    const { licenseId, sequence, expires } = next.first.authorized.license;
    log.info({ licenseId, sequence, expires, started, removed }, "the installed license is in force");
    return removed;
  }

  /** The ledger is open already, and must be that of the host the license is verified against. */
  #ledgerOf(hostKey: HostKey): Ledger {
    const { ledger } = this.#parts;
    if (hostKey.ledgerId === ledger.id) return ledger;
    throw new SignetError("HOST_KEY_MISMATCH", "the host's key is another one than when the server started");
  }

  /** Starts what the new services need beside what runs, and waits until it is ready. */
  async #prepare(services: readonly AuthorizedService[], before: readonly Service[]): Promise<Successor[]> {
    return await Promise.all(
      services.map(async (service) => {
        const present = before.find(({ conf }) => conf.name === service.conf.name);
        const isAlive = present !== undefined && !["refused", "stopped"].includes(present.runner.state);
        if (isAlive && runsTheSame(present.conf, service.conf)) {
          return { service, runner: present.runner, isStarted: false };
        }
        const runner = this.#parts.createRunner(service);
        this.#starting.add(runner);
        if (present?.runner.state === "unloaded") {
          // What an operator unloaded stays so; the new process comes when it is loaded again.
          await runner.unload(0);
          return { service, runner, isStarted: false };
        }
        const failure = await runner.start();
        // A service that works is not given up for one that does not; one that did not work can only gain.
        if (failure !== null && present?.runner.isServing) throw failure;
        return { service, runner, isStarted: true };
      }),
    );
  }

  async #discardStarted(): Promise<void> {
    const runners = [...this.#starting];
    this.#starting.clear();
    for (const runner of runners) {
      await runner.stop(0);
      runner.release();
    }
  }

  /** Jobs that run or wait there end as they would have; no calendar and no renewal cuts them short. */
  #retire(runner: ServiceRunner, service: AuthorizedService): void {
    const { log } = this.#parts;
    const ended = runner
      .stop(Number.POSITIVE_INFINITY)
      .then(() => runner.release())
      .catch((error) => log.error({ err: error, service: runner.name }, "ending a replaced service failed"))
      .then(() => {
        this.#retiring.delete(runner);
        void this.#enqueue(async () => this.#forgetFiles());
      });
    this.#retiring.set(runner, { ended, service });
  }

  /** Gives back the memory of files that no service uses any more. Only in its turn: nothing is being sealed then. */
  #forgetFiles(): void {
    const services = [...this.inForce.services, ...[...this.#retiring.values()].map(({ service }) => service)];
    this.#parts.sealedFiles.keepOnly(services.flatMap(({ files }) => files.sealed));
  }
}

/**
 * Whether a process that serves the one can go on serving the other. Everything counts but what only the gateway
 * uses: the version's name, what clients are told, and limits that the process does not know.
 */
function runsTheSame(present: ServiceConf, next: ServiceConf): boolean {
  const { version: _, parameters: __, limits, ...rest } = present;
  const { version: ___, parameters: ____, limits: nextLimits, ...nextRest } = next;
  return limits.concurrency === nextLimits.concurrency && isDeepStrictEqual(rest, nextRest);
}

/**
 * None is what taking away the last one leaves; whatever else is wrong there says nothing about the license in force.
 */
function loadPinnedRoots(trustDir: string): Promise<TrustRoot[]> {
  return loadTrustRoots(trustDir).catch((error: unknown) => {
    if (error instanceof SignetError && error.code === "TRUST_ROOT_MISSING") return [];
    throw error;
  });
}
