import type { ServiceSettings } from "../config/index.ts";
import { Devices, type Gpu, type PeakUse, type PlacementNews, Placer, type ServicePlacement } from "../engine/index.ts";
import type { ServiceConf } from "../license/index.ts";
import type { JobOwner, PlacementStore } from "../store/index.ts";
import type { Log } from "../telemetry/index.ts";
import { needsOf } from "./needs.ts";

export interface HostDevicesOptions {
  /** Where it stands what is kept for whom. */
  readonly store: PlacementStore;
  readonly owner: JobOwner;
  readonly log: Log;
  /** Another root that NVIDIA's driver is looked for in, for tests. */
  readonly root?: string | undefined;
}

/** A GPU as people are told of it: without its serial number. */
export interface DescribedGpu extends Omit<Gpu, "uuid" | "processes" | "isPartition"> {
  /** What is kept for services of this host. */
  readonly reservedBytes: number;
}

/** What this host has for its services, and who gets it. */
export class HostDevices {
  readonly #devices: Devices;
  readonly #placer: Placer;

  /** @throws STORE_UNAVAILABLE */
  static async open({ store, owner, log, root }: HostDevicesOptions): Promise<HostDevices> {
    const devices = new Devices(root === undefined ? {} : { root });
    try {
      const placer = await Placer.open({ store, owner, devices, onNews: (news) => report(log, news) });
      const gpus = devices.gpus.map(({ name, model, fault }) => ({ name, model, fault }));
      log.info({ gpus, reason: devices.reason, cpu: devices.facts[0] }, "devices of this host");
      return new HostDevices(devices, placer);
    } catch (error) {
      devices.close();
      throw error;
    }
  }

  private constructor(devices: Devices, placer: Placer) {
    this.#devices = devices;
    this.#placer = placer;
  }

  /** What a service's runner asks for. @throws CONFIG_INVALID */
  placementOf(conf: ServiceConf, settings: ServiceSettings): ServicePlacement {
    return { placer: this.#placer, needs: needsOf(conf, settings) };
  }

  /** The GPUs as they were when somebody last looked; somebody looks because of this. */
  get gpus(): readonly DescribedGpu[] {
    void this.#devices.look();
    return this.#placer.rooms.map(({ gpu, reservedBytes }) => {
      const { uuid: _, processes: _processes, isPartition: _isPartition, ...told } = gpu;
      return { ...told, reservedBytes };
    });
  }

  /** What a service's processes used at most since the server started; undefined where none had a place. */
  peakUseOf(service: string): PeakUse | undefined {
    return this.#placer.peakUseOf(service);
  }

  /** Once the services have ended, and before the store is closed. */
  async close(): Promise<void> {
    this.#devices.close();
    await this.#placer.close();
  }
}

function report(log: Log, news: PlacementNews): void {
  switch (news.type) {
    case "placed":
      if (news.devices.length > 0) log.info({ service: news.service, devices: news.devices }, "service placed");
      break;
    case "waiting":
      log.warn({ service: news.service }, `the service is ${news.explanation}`);
      break;
    case "overuse":
      log.warn({ service: news.service }, `the service's process ${news.explanation}`);
      break;
    case "device":
      if (news.fault === null) log.info({ device: news.device }, "the device can be used again");
      else log.error({ device: news.device }, `the device cannot be used: ${news.fault}`);
  }
}
