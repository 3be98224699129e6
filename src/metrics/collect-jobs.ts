import type { JobTally } from "../service/index.ts";
import type { Scrape } from "./scrape.ts";

/** Jobs that outlive their call. Services in the store that the license does not name any more are left out. */
export function collectJobs(scrape: Scrape, jobs: JobTally, services: readonly string[]): void {
  scrape.add("signet_job_store_up", {}, jobs.isStoreUp ? 1 : 0);
  for (const service of services) {
    const load = jobs.loads.find((each) => each.service === service);
    scrape.add("signet_jobs_queued", { service }, load?.queued ?? 0);
    scrape.add("signet_jobs_running", { service }, load?.running ?? 0);
  }
  for (const [service, outcome, count] of jobs.ended()) {
    scrape.add("signet_job_attempts_total", { service, outcome }, count);
  }
}
