import { type ErrorCode, errorCatalogue, SignetError } from "../../../errors.ts";
import type { JobInfo } from "../../../grpc/index.ts";
import { formatDuration } from "../../format-duration.ts";

/** `running 43 %`; for a job that says nothing of its progress, and for others, only the state. */
export function describeState({ state, progressPermille, cancelRequested }: JobInfo): string {
  if (state !== "running") return state;
  if (cancelRequested) return "stopping";
  return progressPermille === 0 ? state : `${state} ${formatPercent(progressPermille)}`;
}

/** What is known of a job that goes on: `stage 2, about 12 s left`, `waits for 3 jobs that come first`. */
export function describeOutlook({ state, stage, remainingMs, waitsFor }: JobInfo): string {
  const parts = [
    state === "queued" && waitsFor !== "" ? `waits for ${waitsFor}` : "",
    stage === 0 ? "" : `stage ${stage}`,
    remainingMs === null
      ? ""
      : `about ${formatDuration(remainingMs < 1000 ? remainingMs : roundToSeconds(remainingMs))} left`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

export function formatPercent(permille: number): string {
  return `${Math.floor(permille / 10)} %`;
}

export function hasEnded({ state }: JobInfo): boolean {
  return state !== "queued" && state !== "running";
}

/** Why a job that ended did not succeed, for the one line that says so; null where it did. */
export function failureOf({ id, state, error }: JobInfo): SignetError | null {
  if (state === "succeeded") return null;
  if (state === "cancelled") return new SignetError("CANCELLED", `job ${id} was cancelled`);
  const { code, message } = error ?? { code: "INTERNAL", message: `it is ${state}` };
  // A newer server may have codes that are not known here.
  const known: ErrorCode = Object.hasOwn(errorCatalogue, code) ? (code as ErrorCode) : "INTERNAL";
  return new SignetError(known, `job ${id}: ${message}`);
}

function roundToSeconds(ms: number): number {
  return Math.round(ms / 1000) * 1000;
}
