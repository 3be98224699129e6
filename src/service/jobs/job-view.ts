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
  const view = { job, progressPermille, stage, remainingMs: null, waitsFor: "" };
  switch (job.state) {
    case "running":
      return { ...view, remainingMs: service === undefined ? null : remainingOfRun(job, view, inference, service) };
    case "queued": {
      const remainingMs =
        service === undefined || ahead === null ? null : remainingOfWait(ahead, inference, service, claimer);
      return { ...view, remainingMs, waitsFor: describeWait(job, ahead, service, claimer) };
    }
    case "succeeded":
      return { ...view, progressPermille: 1000 };
    default:
      return view;
  }
}

/** By its own progress, or else by how long others took; null where it takes longer than they did. */
function remainingOfRun(
  { startedMs }: StoredJob,
  { progressPermille }: Pick<JobView, "progressPermille">,
  inference: Inference,
  service: Service,
): number | null {
  const elapsedMs = Math.max(0, Date.now() - (startedMs ?? Date.now()));
  if (progressPermille > 0) return Math.round((elapsedMs * (1000 - progressPermille)) / progressPermille);
  const meanMs = meanRunMs(inference, service);
  return meanMs === null || meanMs < elapsedMs ? null : Math.round(meanMs - elapsedMs);
}

/** Until the first of those that run has ended, and then as long as those ahead and itself take; null where nobody can tell. */
function remainingOfWait(ahead: number, inference: Inference, service: Service, claimer: JobClaimer): number | null {
  const { conf, runner } = service;
  const meanMs = meanRunMs(inference, service);
  if (meanMs === null || runner.state !== "ready" || claimer.obstacleOf(conf.name) !== null) return null;
  const { concurrency } = conf.limits;
  const running = claimer
    .attemptsOf(conf.name)
    .map(({ claim, renewal }) => remainingOfRun(claim.job, renewal, inference, service));
  const known = running.filter((ms) => ms !== null);
  if (known.length < running.length) return null;
  const first = running.length < concurrency ? 0 : Math.min(...known);
  return Math.round(first + Math.ceil((ahead + 1) / concurrency) * meanMs);
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
  if (obstacle !== null && runner.isServing) return `${name} to take jobs again: ${obstacle.message}`;
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
