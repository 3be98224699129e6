import { readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { MAX_GPUS, NVML_LIBRARY, NvmlFault, NvmlLibrary, printable } from "./nvml-library.ts";
import { findSystemFile, type SystemFile } from "./system-file.ts";

/**
 * NVIDIA's management library, which the driver brings along: what GPUs there are. It is not part of any license, so
 * it is loaded from fixed directories of the system only and never searched for, and never in the gateway: a driver
 * in trouble can hang or end whoever asks it.
 */

/** Where distributions, container runtimes and WSL put it. LD_LIBRARY_PATH has no say. */
const directories = [
  ...(process.arch === "arm64"
    ? ["usr/lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu/nvidia/current"]
    : ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/nvidia/current"]),
  ...["usr/lib64", "usr/lib", "usr/lib/nvidia", "usr/local/nvidia/lib64", "usr/lib/wsl/lib"],
  "run/opengl-driver/lib",
];

export const gpuSchema = z.strictObject({
  /** Of the whole GPU, never of a MIG partition. A serial number: never shown. */
  uuid: z.string().regex(/^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  name: z.string().max(96).nullable(),
  memoryBytes: z.int().nonnegative().nullable(),
  /** Whether it is cut into partitions; null where it cannot be. */
  mig: z.enum(["on", "off"]).nullable(),
});
export type Gpu = z.infer<typeof gpuSchema>;

export const gpuReadingSchema = z.strictObject({
  driverVersion: z.string().max(80).nullable(),
  gpus: z.array(gpuSchema).max(128),
  /** Why there are none, or fewer than there are, in words; null where all went well. */
  reason: z.string().max(400).nullable(),
  /** This user is not allowed to ask. */
  isForbidden: z.boolean(),
});
export type GpuReading = z.infer<typeof gpuReadingSchema>;

export function noGpus(reason: string): GpuReading {
  return { driverVersion: null, gpus: [], reason, isForbidden: false };
}

/** The driver's library below a root; `reason` says why there is none to load. */
export function findNvml(root = "/"): SystemFile {
  const found = findSystemFile(NVML_LIBRARY, root, directories);
  if (found !== null)
    return found.path === null ? { path: null, reason: `${found.reason}, so it is not loaded` } : found;
  const hasDevice = list(join(root, "dev")).some((name) => /^nvidia[0-9]+$/.test(name));
  const reason = hasDevice
    ? `there are NVIDIA devices, but no ${NVML_LIBRARY}: the driver is not installed here, or not passed into this container`
    : `no NVIDIA driver is installed (no ${NVML_LIBRARY})`;
  return { path: null, reason };
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Loads the library and asks it who its GPUs are. Only for a process that may hang or end. */
export function readNvml(path: string): GpuReading {
  const library = openNvml(path);
  if ("reason" in library) return library;
  try {
    return read(library);
  } finally {
    library.stop();
  }
}

/** The driver, started; or why it cannot be asked. */
export function openNvml(path: string): NvmlLibrary | GpuReading {
  try {
    return new NvmlLibrary(path);
  } catch (error) {
    if (error instanceof NvmlFault) {
      return { ...noGpus(`the NVIDIA driver does not start: ${error.message}`), isForbidden: error.isForbidden };
    }
    return noGpus(`${NVML_LIBRARY} cannot be used: ${printable((error as Error).message, 200)}`);
  }
}

/** How many GPUs there are; or why that cannot be known. */
export function countGpus(library: NvmlLibrary): number | GpuReading {
  try {
    const count = library.count();
    if (count <= MAX_GPUS) return count;
    return noGpus(`the NVIDIA driver counts ${count} GPUs, more than the ${MAX_GPUS} that can be`);
  } catch (error) {
    const { message, isForbidden } = error as NvmlFault;
    return { ...noGpus(`the NVIDIA driver does not count its GPUs: ${message}`), isForbidden };
  }
}

function read(library: NvmlLibrary): GpuReading {
  const driverVersion = library.driverVersion();
  const count = countGpus(library);
  if (typeof count === "object") return { ...count, driverVersion };
  const gpus = new Map<string, Gpu>();
  const faults: string[] = [];
  let isForbidden = false;
  for (let index = 0; index < count; index++) {
    try {
      const gpu = readGpu(library, index);
      gpus.set(gpu.uuid, gpu);
    } catch (error) {
      if (error instanceof NvmlFault && error.isForbidden) isForbidden = true;
      faults.push(`GPU ${index}: ${(error as Error).message}`);
    }
  }
  if (count === 0) faults.push("the NVIDIA driver is there and finds no GPU");
  const reason = faults.length === 0 ? null : faults.join("; ").slice(0, 400);
  return { driverVersion, gpus: [...gpus.values()], reason, isForbidden };
}

/** @throws Error with the reason in words */
function readGpu(library: NvmlLibrary, index: number): Gpu {
  const device = library.device(index);
  // Of a MIG partition the name ends when it is cut anew; only a whole GPU identifies a machine.
  const uuid = gpuSchema.shape.uuid.safeParse(library.uuid(device).toLowerCase().replace(/^gpu/, "GPU"));
  if (!uuid.success) throw new Error("it gives no number of its own");
  return {
    uuid: uuid.data,
    name: library.name(device),
    memoryBytes: memoryOf(library, device),
    mig: library.mig(device),
  };
}

/** Who a GPU is does not hang on how it is. */
function memoryOf(library: NvmlLibrary, device: bigint): number | null {
  try {
    return library.memory(device)?.totalBytes ?? null;
  } catch {
    return null;
  }
}
