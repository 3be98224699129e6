import { SignetError } from "../errors.ts";

/**
 * The states of a job, which is in exactly one of them at any time:
 *
 *              ┌──────── retry ────────┐
 *              ▼                       │
 *     submit ▶ queued ──── claim ───▶ running ──── succeed ──▶ succeeded
 *              │  │                    │  │
 *              │  └────── fail ────────│──┴──────────────────▶ failed
 *              └───────── cancel ──────┴─────────────────────▶ cancelled
 *
 * The three on the right are final. A running job that somebody cancels stays running, and is marked, until its native
 * code has really ended; then it is cancelled, or it succeeded because it was faster.
 */
export const jobStates = ["queued", "running", "succeeded", "failed", "cancelled"] as const;
export type JobState = (typeof jobStates)[number];

/** `retry` is also what happens to a job whose owner was lost, or gave it back. */
export type JobTransition = "claim" | "retry" | "succeed" | "fail" | "cancel";

const next: Readonly<Record<JobState, Partial<Readonly<Record<JobTransition, JobState>>>>> = {
  queued: { claim: "running", fail: "failed", cancel: "cancelled" },
  running: { retry: "queued", succeed: "succeeded", fail: "failed", cancel: "cancelled" },
  succeeded: {},
  failed: {},
  cancelled: {},
};

/** Where a job is after a transition; the only function that says so. @throws INTERNAL where there is no such transition */
export function jobStateAfter(state: JobState, transition: JobTransition): JobState {
  const after = next[state][transition];
  if (after === undefined) throw new SignetError("INTERNAL", `a ${state} job cannot ${transition}`);
  return after;
}

export function isFinal(state: JobState): boolean {
  return Object.keys(next[state]).length === 0;
}
