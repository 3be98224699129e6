import { z } from "zod";

const MAX_MIB = 16 * 1024 * 1024;

/** What a service's process takes of its host: what its vendor declares in a license, and what an operator knows better. */
export const needsSchema = z.strictObject({
  gpus: z.int().min(0).max(64).optional().describe("GPUs, or partitions of one (MIG)."),
  gpuMemoryMiB: z.int().min(0).max(MAX_MIB).optional().describe("Memory of each of its GPUs, in MiB."),
  cpuCores: z.int().min(0).max(4096).optional().describe("Cores of the processor."),
  memoryMiB: z.int().min(0).max(MAX_MIB).optional().describe("The process's own memory, in MiB."),
});
export type DeclaredNeeds = z.infer<typeof needsSchema>;

/** What makes needs impossible to place, in words; undefined where nothing does. */
export function needsObstacle({ gpus = 0, gpuMemoryMiB = 0 }: DeclaredNeeds): string | undefined {
  // A GPU of which nobody says how much is taken could not be shared, nor kept for one: others may hold a part of it.
  if (gpus > 0 && gpuMemoryMiB === 0) return `expected gpuMemoryMiB where gpus is ${gpus}`;
  if (gpus === 0 && gpuMemoryMiB > 0) return `expected gpus where gpuMemoryMiB is ${gpuMemoryMiB}`;
  return undefined;
}
