import type { DescribedGpu, HostDevices, Service } from "../service/index.ts";
import type { Scrape } from "./scrape.ts";

export interface DeviceParts {
  readonly devices: Pick<HostDevices, "gpus" | "peakUseOf">;
}

/** The GPUs as they were when somebody last looked, which is because of this at the latest; by name, never by serial number. */
export function collectDevices(scrape: Scrape, { devices }: DeviceParts, services: readonly Service[]): void {
  for (const gpu of devices.gpus) collectGpu(scrape, gpu);
  for (const { conf } of services) {
    const peak = devices.peakUseOf(conf.name)?.gpuMemoryBytes ?? null;
    if (peak === null) continue;
    scrape.add("signet_service_gpu_memory_peak_bytes", { service: conf.name, version: conf.version }, peak);
  }
}

function collectGpu(scrape: Scrape, gpu: DescribedGpu): void {
  const of = { device: gpu.name };
  scrape.add("signet_gpu_usable", of, gpu.fault === null ? 1 : 0);
  scrape.add("signet_gpu_memory_total_bytes", of, gpu.totalBytes);
  scrape.add("signet_gpu_memory_reserved_bytes", of, gpu.reservedBytes);
  // What was true when it could still be asked is nothing to draw a line with.
  if (gpu.fault !== null) return;
  scrape.add("signet_gpu_memory_used_bytes", of, gpu.usedBytes);
  if (gpu.utilizationPercent !== null) scrape.add("signet_gpu_utilization_ratio", of, gpu.utilizationPercent / 100);
  if (gpu.temperatureC !== null) scrape.add("signet_gpu_temperature_celsius", of, gpu.temperatureC);
}
