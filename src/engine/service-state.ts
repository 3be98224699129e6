import type { SignetError } from "../errors.ts";

/**
 * The states of a service:
 *
 *     starting ──▶ ready ──▶ stopped         stop()
 *        ▲  │        │
 *        │  ▼        ▼ crash, kill
 *        backing-off                         from any: refused, when a licensed file changed on disk
 *            ▼ too many ends                 from all but stopped: unloaded, by unload(); then starting again, by start()
 *        quarantined                         then starting again, by start()
 *
 * Where this host has no room for the process, starting becomes waiting, and goes on when there is. A ready service that
 * has nothing to do may become idle, without a process, and starts again by wake().
 *
 * While starting, waiting, idle or backing off, calls wait in the queue up to their deadlines.
 */
export const serviceStates = [
  "waiting",
  "starting",
  "ready",
  "idle",
  "backing-off",
  "quarantined",
  "unloaded",
  "refused",
  "stopped",
] as const;
export type ServiceState = (typeof serviceStates)[number];

export type ServiceEvent =
  | { readonly type: "state"; readonly state: Exclude<ServiceState, "refused" | "quarantined"> }
  | { readonly type: "state"; readonly state: "refused" | "quarantined"; readonly reason: SignetError }
  | { readonly type: "ended"; readonly error: SignetError; readonly restartInMs: number | null }
  | ({ readonly type: "output" } & ServiceOutput);

/** A line that a service's process printed. */
export interface ServiceOutput {
  readonly stream: "stdout" | "stderr";
  readonly line: string;
  readonly pid: number | null;
  /** The jobs that may have written it: one where one ran, several where several did or the next had just begun. */
  readonly jobs: readonly string[];
  /** Lines before it that were left out; the line says so. */
  readonly dropped: number;
}
