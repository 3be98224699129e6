import type { Gpu } from "./devices.ts";
import type { Reservation } from "./reservation.ts";

/** A GPU and what is left of it. */
export interface GpuRoom {
  readonly gpu: Gpu;
  /** What is neither reserved nor used by others, bytes. */
  readonly roomBytes: number;
  readonly reservedBytes: number;
  /** Services that hold a part of it, each once. */
  readonly holders: readonly string[];
}

/** @param held every reservation of this host */
export function roomOf(gpu: Gpu, held: Iterable<Reservation>): GpuRoom {
  const holders = [...held].filter(({ devices }) => devices.includes(gpu.name));
  const reservedBytes = holders.reduce((sum, { needs }) => sum + needs.gpuMemoryBytes, 0);
  const othersBytes = usedByOthers(
    gpu,
    reservedBytes,
    holders.map(({ process }) => process.pid),
  );
  const names = [...new Set(holders.map(({ service }) => service))];
  const roomBytes = Math.max(0, gpu.totalBytes - reservedBytes - othersBytes);
  return { gpu, roomBytes, reservedBytes, holders: names };
}

/** Memory of a GPU that a process has; null where that is not known. */
export function usedBy(pid: number | undefined, { processes }: Gpu): number | null {
  if (pid === undefined || processes === null) return null;
  return processes.find((process) => process.pid === pid)?.bytes ?? null;
}

/**
 * What programs that are none of ours use, as far as can be told. In a container the driver may not show our own
 * processes, or under other numbers: what it does not explain counts as ours, up to what we may use and do not show.
 */
function usedByOthers(gpu: Gpu, reservedBytes: number, own: readonly (number | undefined)[]): number {
  const listed = (gpu.processes ?? []).filter(({ bytes }) => bytes !== null);
  const sum = (pids: (pid: number) => boolean) =>
    listed.filter(({ pid }) => pids(pid)).reduce((total, { bytes }) => total + bytes!, 0);
  const ownBytes = sum((pid) => own.includes(pid));
  const othersBytes = sum((pid) => !own.includes(pid));
  const unexplained = Math.max(0, gpu.usedBytes - ownBytes - othersBytes);
  return othersBytes + Math.max(0, unexplained - Math.max(0, reservedBytes - ownBytes));
}
