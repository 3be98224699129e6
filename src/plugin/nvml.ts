import { readdirSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";
import { z } from "zod";
import { findSystemFile, type SystemFile } from "./system-file.ts";

/**
 * NVIDIA's management library, which the driver brings along: what GPUs there are. It is not part of any license, so
 * it is loaded from fixed directories of the system only and never searched for, and never in the gateway: a driver
 * in trouble can hang or end whoever asks it.
 */

const LIBRARY = "libnvidia-ml.so.1";

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
  const found = findSystemFile(LIBRARY, root, directories);
  if (found !== null)
    return found.path === null ? { path: null, reason: `${found.reason}, so it is not loaded` } : found;
  const hasDevice = list(join(root, "dev")).some((name) => /^nvidia[0-9]+$/.test(name));
  const reason = hasDevice
    ? `there are NVIDIA devices, but no ${LIBRARY}: the driver is not installed here, or not passed into this container`
    : `no NVIDIA driver is installed (no ${LIBRARY})`;
  return { path: null, reason };
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** More than any machine has; a count beyond it is nonsense and not a loop to go through. */
const MAX_GPUS = 128;
const TEXT_BYTES = 96;
const NVML_SUCCESS = 0;
const NVML_ERROR_NOT_SUPPORTED = 3;
const NVML_ERROR_NO_PERMISSION = 4;
const MIG_ENABLED = 1;

const errorNames = new Map([
  [1, "not initialized"],
  [2, "invalid argument"],
  [NVML_ERROR_NOT_SUPPORTED, "not supported"],
  [NVML_ERROR_NO_PERMISSION, "this user may not"],
  [6, "not found"],
  [9, "the driver is not loaded"],
  [10, "timeout"],
  [12, "a library of the driver is missing"],
  [13, "a function of the driver is missing"],
  [14, "the GPU's inforom is damaged"],
  [15, "the GPU has fallen off the bus"],
  [16, "the GPU needs a reset"],
  [17, "the operating system blocks the GPU"],
  [18, "the driver's library and kernel module have different versions; restart the machine"],
  [19, "in use"],
  [20, "out of memory"],
]);

/** Loads the library and asks it. Only for a process that may hang or end. */
export function readNvml(path: string): GpuReading {
  let library: NvmlLibrary;
  try {
    library = new NvmlLibrary(path);
  } catch (error) {
    return noGpus(`${LIBRARY} cannot be used: ${printable((error as Error).message, 200)}`);
  }
  const started = library.start();
  if (started !== NVML_SUCCESS) {
    const isForbidden = started === NVML_ERROR_NO_PERMISSION;
    return { ...noGpus(`the NVIDIA driver does not start: ${describe(started)}`), isForbidden };
  }
  try {
    return library.read();
  } finally {
    library.stop();
  }
}

type Call = (...args: unknown[]) => number;

class NvmlLibrary {
  readonly start: Call;
  readonly stop: Call;
  readonly #count: Call;
  readonly #handle: Call;
  readonly #uuid: Call;
  readonly #name: Call | null;
  readonly #memory: Call | null;
  readonly #mig: Call | null;
  readonly #driverVersion: Call | null;

  /** @throws where the library cannot be loaded or lacks what is needed */
  constructor(path: string) {
    const library = koffi.load(path);
    const needed = (signature: string): Call => library.func(signature);
    const optional = (signature: string): Call | null => {
      try {
        return library.func(signature);
      } catch {
        return null; // an old driver; what it would have told stays unknown
      }
    };
    this.start = needed("int nvmlInit_v2()");
    this.stop = needed("int nvmlShutdown()");
    this.#count = needed("int nvmlDeviceGetCount_v2(void *count)");
    this.#handle = needed("int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void *device)");
    this.#uuid = needed("int nvmlDeviceGetUUID(uintptr_t device, void *uuid, unsigned int length)");
    this.#name = optional("int nvmlDeviceGetName(uintptr_t device, void *name, unsigned int length)");
    this.#memory = optional("int nvmlDeviceGetMemoryInfo(uintptr_t device, void *memory)");
    this.#mig = optional("int nvmlDeviceGetMigMode(uintptr_t device, void *current, void *pending)");
    this.#driverVersion = optional("int nvmlSystemGetDriverVersion(void *version, unsigned int length)");
  }

  read(): GpuReading {
    const driverVersion = readText((buffer) => this.#driverVersion?.(buffer, 80));
    const count = Buffer.alloc(8);
    const counted = this.#count(count);
    if (counted !== NVML_SUCCESS) {
      const isForbidden = counted === NVML_ERROR_NO_PERMISSION;
      return {
        ...noGpus(`the NVIDIA driver does not count its GPUs: ${describe(counted)}`),
        driverVersion,
        isForbidden,
      };
    }
    const gpuCount = count.readUInt32LE(0);
    if (gpuCount > MAX_GPUS) {
      return {
        ...noGpus(`the NVIDIA driver counts ${gpuCount} GPUs, more than the ${MAX_GPUS} that can be`),
        driverVersion,
      };
    }
    const gpus = new Map<string, Gpu>();
    const faults: string[] = [];
    let isForbidden = false;
    for (let index = 0; index < gpuCount; index++) {
      const gpu = this.#readGpu(index);
      if (typeof gpu === "object") gpus.set(gpu.uuid, gpu);
      else if (gpu === NVML_ERROR_NO_PERMISSION) isForbidden = true;
      if (typeof gpu === "number") faults.push(`GPU ${index}: ${describe(gpu)}`);
    }
    if (gpuCount === 0) faults.push("the NVIDIA driver is there and finds no GPU");
    const reason = faults.length === 0 ? null : faults.join("; ").slice(0, 400);
    return { driverVersion, gpus: [...gpus.values()], reason, isForbidden };
  }

  /** The GPU, or the code of the call that failed. */
  #readGpu(index: number): Gpu | number {
    const pointer = Buffer.alloc(8);
    const opened = this.#handle(index, pointer);
    if (opened !== NVML_SUCCESS) return opened;
    const device = pointer.readBigUInt64LE(0);
    const text = Buffer.alloc(2 * TEXT_BYTES);
    const asked = this.#uuid(device, text, TEXT_BYTES);
    if (asked !== NVML_SUCCESS) return asked;
    // Of a MIG partition the name ends when it is cut anew; only a whole GPU identifies a machine.
    const uuid = gpuSchema.shape.uuid.safeParse(
      printable(textOf(text), TEXT_BYTES).toLowerCase().replace(/^gpu/, "GPU"),
    );
    if (!uuid.success) return NO_UUID;
    return {
      uuid: uuid.data,
      name: readText((buffer) => this.#name?.(device, buffer, TEXT_BYTES)),
      memoryBytes: this.#memoryOf(device),
      mig: this.#migOf(device),
    };
  }

  #memoryOf(device: bigint): number | null {
    const memory = Buffer.alloc(64); // total, free, used
    if (this.#memory?.(device, memory) !== NVML_SUCCESS) return null;
    const total = memory.readBigUInt64LE(0);
    return total > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(total);
  }

  #migOf(device: bigint): Gpu["mig"] {
    const [current, pending] = [Buffer.alloc(8), Buffer.alloc(8)];
    if (this.#mig?.(device, current, pending) !== NVML_SUCCESS) return null;
    return current.readUInt32LE(0) === MIG_ENABLED ? "on" : "off";
  }
}

const NO_UUID = -1;

function describe(code: number): string {
  if (code === NO_UUID) return "it gives no number of its own";
  return errorNames.get(code) ?? `error ${code}`;
}

function readText(ask: (buffer: Buffer) => number | undefined): string | null {
  const buffer = Buffer.alloc(2 * TEXT_BYTES);
  return ask(buffer) === NVML_SUCCESS ? printable(textOf(buffer), 80) : null;
}

function textOf(buffer: Buffer): string {
  const end = buffer.indexOf(0);
  return buffer.toString("latin1", 0, end < 0 ? buffer.length : end);
}

function printable(text: string, length: number): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, length);
}
