import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import { quoteName } from "../tensor/index.ts";
import type { Identity } from "./access.ts";
import type { Inference, Service } from "./inference.ts";

/** Triton's words for where a service stands. */
export type ModelState = "READY" | "LOADING" | "UNLOADING" | "UNAVAILABLE";

export interface RepositoryEntry {
  readonly name: string;
  readonly version: string;
  readonly state: ModelState;
  /** Why it is not READY; empty where it is. */
  readonly reason: string;
}

export interface RepositoryParts {
  readonly inference: Inference;
  readonly audit: AuditLog;
  /** How long running jobs may take to end when a service is unloaded, ms. */
  readonly drainMs: number;
}

/**
 * The licensed services as a repository: nothing comes into it but by a license, and what is in it can be unloaded,
 * which ends its process, and loaded again, which starts one from the same sealed files.
 */
export class Repository {
  readonly #parts: RepositoryParts;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
  }

  /** Every licensed service, in the license's order. @throws PERMISSION_DENIED */
  index(identity: Identity): RepositoryEntry[] {
    identity.require("metadata");
    return this.#parts.inference.services.map(entryOf);
  }

  /**
   * Resolves when the service takes calls; at once if it does already. One that is quarantined is released.
   * @throws PERMISSION_DENIED, SERVICE_NOT_FOUND, SERVICE_NOT_READY, and why its process did not start
   */
  async load(identity: Identity, name: string): Promise<void> {
    const { runner } = this.#find(identity, name);
    const { state } = runner;
    const failure = await runner.load();
    if (state === "unloaded") this.#record("service.loaded", identity, name, failure);
    if (state === "quarantined") this.#record("service.released", identity, name, failure);
    if (failure) throw failure;
  }

  /** Lets the service's jobs end, and then its process; resolves when that is gone. @throws PERMISSION_DENIED, SERVICE_NOT_FOUND */
  async unload(identity: Identity, name: string): Promise<void> {
    const { runner } = this.#find(identity, name);
    if (runner.state === "refused" || runner.state === "stopped") {
      throw new SignetError("SERVICE_NOT_READY", `${name} is ${runner.state} and stays so`);
    }
    if (runner.state !== "unloaded") this.#record("service.unloaded", identity, name, null);
    await runner.unload(this.#parts.drainMs);
  }

  #find(identity: Identity, name: string): Service {
    identity.require("operate", name);
    return this.#parts.inference.find(name, "");
  }

  #record(
    event: "service.loaded" | "service.released" | "service.unloaded",
    { name: identity }: Identity,
    service: string,
    failure: SignetError | null,
  ) {
    this.#parts.audit.record({ event, code: failure?.code, detail: { service, identity } });
  }
}

function entryOf({ conf: { name, version }, runner }: Service): RepositoryEntry {
  const at = (state: ModelState, reason: string): RepositoryEntry => ({ name, version, state, reason });
  switch (runner.state) {
    case "ready":
      return at("READY", "");
    case "idle":
      return at("READY", "without a process until there is a call for it");
    case "waiting":
      return at("UNAVAILABLE", `no process yet: ${runner.waitingFor}`);
    case "starting":
      return at("LOADING", "its process is starting");
    case "backing-off":
      return at("UNAVAILABLE", `its process ended (${runner.lastError?.code}) and will be started again`);
    case "quarantined":
      return at("UNAVAILABLE", `quarantined: its process ended too often in a row (${runner.lastError?.code})`);
    case "unloaded":
      return runner.running + runner.queued > 0
        ? at("UNLOADING", "its jobs are ending")
        : at("UNAVAILABLE", "unloaded");
    case "refused":
      return at("UNAVAILABLE", "refused: a licensed file changed, or the license was withdrawn");
    case "stopped":
      return at("UNAVAILABLE", "the server is stopping");
  }
}

/** In Triton these are a configuration and files that the caller makes up: another way to run any code. @throws NOT_IN_LICENSE */
export function refuseContent(service: string, parameters: Readonly<Record<string, unknown>>): void {
  const [first] = Object.keys(parameters);
  if (first === undefined) return;
  throw new SignetError(
    "NOT_IN_LICENSE",
    `${quoteName(service)}: expected to be loaded as the license has it, found the parameter ${quoteName(first)}`,
  );
}

/** @throws REQUEST_MALFORMED */
export function verifyUnloadParameters(parameters: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(parameters)) {
    if (name !== "unload_dependents" || typeof value !== "boolean") {
      const words = `expected no parameter but unload_dependents, a bool, found ${quoteName(name)}`;
      throw new SignetError("REQUEST_MALFORMED", words);
    }
  }
}
