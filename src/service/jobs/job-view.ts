import type { StoredJob } from "../../store/index.ts";
import type { Inference, Service } from "../inference.ts";
import type { JobClaimer } from "./job-claimer.ts";

/** A job as whoever may see it is told of it. */
export interface JobView {
  readonly job: StoredJob;
  /** Now, where it runs here. */
  readonly progressPermille: number;
  readonly stage: number;
  /** An estimate of the time until it ends, ms; null where there is none. */
  readonly remainingMs: number | null;
  /** What a queued job waits for, for people; empty for others. */
  readonly waitsFor: string;
}

/** How many jobs ahead of one are counted; beyond this an estimate is none. */
export const MAX_AHEAD = 10_000;

/** @param ahead jobs that come before it; null where nobody counted */
export function viewJob(job: StoredJob, ahead: number | null, inference: Inference, claimer: JobClaimer): JobView {
  const { progressPermille, stage } = claimer.attempt(job.id)?.renewal ?? job;
  const service = inference.services.find(({ conf }) => conf.name === job.service);
  const meanMs = service === undefined ? null : meanRunMs(inference, service);
  const view = { job, progressPermille, stage, remainingMs: null, waitsFor: "" };
  if (job.state === "running") return { ...view, remainingMs: remainingOf(job, progressPermille, meanMs) };
  if (job.state !== "queued") return view;
  const waitsFor = describeWait(job, ahead, service, claimer);
  if (ahead === null || meanMs === null || service === undefined) return { ...view, waitsFor };
  const rounds = Math.ceil((ahead + 1) / service.conf.limits.concurrency);
  return { ...view, waitsFor, remainingMs: Math.round(rounds * meanMs) };
}

function remainingOf({ startedMs }: StoredJob, permille: number, meanMs: number | null): number | null {
  const elapsedMs = Math.max(0, Date.now() - (startedMs ?? Date.now()));
  if (permille > 0) return Math.round((elapsedMs * (1000 - permille)) / permille);
  return meanMs === null ? null : Math.max(0, Math.round(meanMs - elapsedMs));
}

function meanRunMs(inference: Inference, service: Service): number | null {
  const { run } = inference.statisticsOf(service);
  return run.count === 0 ? null : run.ns / run.count / 1e6;
}

function describeWait(
  { service: name, attempts, failure }: StoredJob,
  ahead: number | null,
  service: Service | undefined,
  claimer: JobClaimer,
): string {
  if (service === undefined) return `${name}, which the license does not name any more`;
  const { runner } = service;
  const obstacle = claimer.obstacleOf(name);
  if (obstacle !== null) return `${name} to take jobs again: ${obstacle.message}`;
  switch (runner.state) {
    case "waiting":
      return `room for ${name}, which is ${runner.waitingFor}`;
    case "starting":
      return `${name} to start`;
    case "backing-off":
      return `${name} to be started again, after its process ended (${runner.lastError?.code})`;
    case "quarantined":
      return `${name} to be released by an operator, after its process ended too often (${runner.lastError?.code})`;
    case "unloaded":
      return `${name} to be loaded; an operator unloaded it`;
    case "refused":
      return `a license for ${name} as it is now, since one of its files was changed`;
    case "stopped":
      return "the server to start again";
    default:
  }
  const again = attempts > 0 && failure !== null ? `, again after ${failure.code}` : "";
  if (ahead === null || ahead === 0) return `a free turn of ${name}${again}`;
  const most = ahead >= MAX_AHEAD ? "more than " : "";
  return `${most}${ahead} ${ahead === 1 ? "job" : "jobs"} of ${name} that ${ahead === 1 ? "comes" : "come"} first${again}`;
}
