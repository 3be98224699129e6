import type { JobTally } from "../service/index.ts";
import { collectDevices, type DeviceParts } from "./collect-devices.ts";
import { collectEdges, type EdgeParts } from "./collect-edges.ts";
import { collectJobs } from "./collect-jobs.ts";
import { collectLicense, type LicenseParts } from "./collect-license.ts";
import { collectProcess } from "./collect-process.ts";
import { collectServices, type ServiceParts } from "./collect-services.ts";
import { EventLoopLag } from "./event-loop-lag.ts";
import { type MetricFamily, Scrape } from "./scrape.ts";

export interface MetricsParts extends EdgeParts, LicenseParts, ServiceParts, DeviceParts {
  readonly jobTally: JobTally;
  readonly version: string;
  isReady(): boolean;
}

/**
 * What operators watch. Nothing is kept here but the lag of the event loop: everything else is read, when somebody asks,
 * from those who count it anyway.
 */
export class Metrics {
  readonly #parts: MetricsParts;
  readonly #lag = new EventLoopLag();

  constructor(parts: MetricsParts) {
    this.#parts = parts;
  }

  collect(): MetricFamily[] {
    const { inference, jobTally, version, isReady } = this.#parts;
    const scrape = new Scrape();
    scrape.add("signet_build_info", { version, node: process.version }, 1);
    scrape.add("signet_ready", {}, isReady() ? 1 : 0);
    collectServices(scrape, this.#parts);
    collectJobs(
      scrape,
      jobTally,
      inference.services.map(({ conf }) => conf.name),
    );
    collectDevices(scrape, this.#parts, inference.services);
    collectLicense(scrape, this.#parts);
    collectEdges(scrape, this.#parts);
    collectProcess(scrape, this.#lag);
    return scrape.families();
  }

  close(): void {
    this.#lag.close();
  }
}
