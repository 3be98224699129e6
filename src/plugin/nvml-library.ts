import koffi from "koffi";

/**
 * NVIDIA's management library through koffi: the calls that are used, with their numbers turned into values. Only for a
 * process that may hang or end.
 */

/** Where in the driver's directories it lies. */
export const NVML_LIBRARY = "libnvidia-ml.so.1";

/** More than any machine has; a count beyond it is nonsense and not a loop to go through. */
export const MAX_GPUS = 128;
const MAX_PARTITIONS = 64;
const MAX_PROCESSES = 256;
const TEXT_BYTES = 96;

const NVML_SUCCESS = 0;
const NVML_ERROR_INVALID_ARGUMENT = 2;
const NVML_ERROR_NOT_SUPPORTED = 3;
const NVML_ERROR_NO_PERMISSION = 4;
const NVML_ERROR_NOT_FOUND = 6;
const NVML_ERROR_INSUFFICIENT_SIZE = 7;
const MIG_ENABLED = 1;
const TEMPERATURE_GPU = 0;
/** Of nvmlProcessInfo_t: pid at 0, memory at 8, ids of MIG instances at 16 and 20. */
const PROCESS_INFO_BYTES = 24;
const VALUE_NOT_AVAILABLE = 2n ** 64n - 1n;

const errorNames = new Map([
  [1, "not initialized"],
  [NVML_ERROR_INVALID_ARGUMENT, "invalid argument"],
  [NVML_ERROR_NOT_SUPPORTED, "not supported"],
  [NVML_ERROR_NO_PERMISSION, "this user may not"],
  [NVML_ERROR_NOT_FOUND, "not found"],
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

/** What a call of the driver failed with. */
export class NvmlFault extends Error {
  readonly isForbidden: boolean;

  constructor(code: number) {
    super(errorNames.get(code) ?? `error ${code}`);
    this.isForbidden = code === NVML_ERROR_NO_PERMISSION;
  }
}

/** A handle of a GPU or of a partition; it stays valid while the library is loaded. */
type Device = bigint;

export interface DeviceMemory {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** With what the driver itself takes. */
  readonly usedBytes: number;
}

/** A process that computes on a device. */
export interface DeviceProcess {
  /** As this process's name space numbers it, or the host's, by the driver. */
  readonly pid: number;
  /** Null where the driver does not tell. */
  readonly bytes: number | null;
}

type Call = (...args: unknown[]) => number;

export class NvmlLibrary {
  readonly #functions: Record<Wanted, Call | null>;

  /** @throws Error where the library cannot be loaded or lacks what is needed; NvmlFault where the driver does not start */
  constructor(path: string) {
    const library = koffi.load(path);
    this.#functions = Object.fromEntries(
      Object.entries(signatures).map(([name, [need, signature]]) => {
        try {
          return [name, library.func(signature)];
        } catch (error) {
          if (need === "needed") throw error;
          return [name, null]; // an old driver; what it would have told stays unknown
        }
      }),
    ) as Record<Wanted, Call | null>;
    this.#require("start");
  }

  stop(): void {
    this.#call("stop");
  }

  driverVersion(): string | null {
    return this.#text("driverVersion", [], 80);
  }

  /** @throws NvmlFault */
  count(): number {
    const count = Buffer.alloc(8);
    this.#require("count", count);
    return count.readUInt32LE(0);
  }

  /** @throws NvmlFault */
  device(index: number): Device {
    const pointer = Buffer.alloc(8);
    this.#require("device", index, pointer);
    return pointer.readBigUInt64LE(0);
  }

  /** As the driver writes it, without what does not print. @throws NvmlFault */
  uuid(device: Device): string {
    const text = Buffer.alloc(2 * TEXT_BYTES);
    this.#require("uuid", device, text, TEXT_BYTES);
    return printable(textOf(text), TEXT_BYTES);
  }

  name(device: Device): string | null {
    return this.#text("name", [device], TEXT_BYTES);
  }

  /** Null where an old driver cannot tell. @throws NvmlFault */
  memory(device: Device): DeviceMemory | null {
    const memory = Buffer.alloc(64); // total, free, used
    if (!this.#ask("memory", device, memory)) return null;
    const [totalBytes, freeBytes, usedBytes] = [0, 8, 16].map((at) => Number(memory.readBigUInt64LE(at)));
    if (totalBytes! > Number.MAX_SAFE_INTEGER) return null;
    return { totalBytes: totalBytes!, freeBytes: freeBytes!, usedBytes: usedBytes! };
  }

  /** Whether it is cut into partitions; null where it cannot be. */
  mig(device: Device): "on" | "off" | null {
    const [current, pending] = [Buffer.alloc(8), Buffer.alloc(8)];
    if (this.#call("mig", device, current, pending) !== NVML_SUCCESS) return null;
    return current.readUInt32LE(0) === MIG_ENABLED ? "on" : "off";
  }

  /** The share of time in which something ran, percent. */
  utilization(device: Device): number | null {
    const rates = Buffer.alloc(16); // of the processors, of the memory's bus
    return this.#call("utilization", device, rates) === NVML_SUCCESS ? Math.min(100, rates.readUInt32LE(0)) : null;
  }

  /** Degrees Celsius. */
  temperature(device: Device): number | null {
    const degrees = Buffer.alloc(8);
    return this.#call("temperature", device, TEMPERATURE_GPU, degrees) === NVML_SUCCESS
      ? degrees.readUInt32LE(0)
      : null;
  }

  /** The partitions of a GPU that has such, with their numbers. */
  partitions(device: Device): { readonly index: number; readonly device: Device }[] {
    const count = Buffer.alloc(8);
    if (this.#call("partitionCount", device, count) !== NVML_SUCCESS) return [];
    const most = Math.min(count.readUInt32LE(0), MAX_PARTITIONS);
    const found: { index: number; device: Device }[] = [];
    for (let index = 0; index < most; index++) {
      const pointer = Buffer.alloc(8);
      // A number without a partition is no fault: partitions come and go.
      if (this.#call("partition", device, index, pointer) !== NVML_SUCCESS) continue;
      found.push({ index, device: pointer.readBigUInt64LE(0) });
    }
    return found;
  }

  /** What computes on it; null where the driver does not tell. */
  processes(device: Device): DeviceProcess[] | null {
    const count = Buffer.alloc(8);
    count.writeUInt32LE(MAX_PROCESSES);
    const infos = Buffer.alloc(MAX_PROCESSES * PROCESS_INFO_BYTES);
    const code = this.#call("processes", device, count, infos);
    if (code !== NVML_SUCCESS && code !== NVML_ERROR_INSUFFICIENT_SIZE) return null;
    const found = Math.min(count.readUInt32LE(0), MAX_PROCESSES);
    return Array.from({ length: found }, (_, index) => {
      const at = index * PROCESS_INFO_BYTES;
      const bytes = infos.readBigUInt64LE(at + 8);
      return { pid: infos.readUInt32LE(at), bytes: bytes === VALUE_NOT_AVAILABLE ? null : Number(bytes) };
    });
  }

  #text(name: Wanted, args: readonly unknown[], length: number): string | null {
    const buffer = Buffer.alloc(2 * TEXT_BYTES);
    return this.#call(name, ...args, buffer, length) === NVML_SUCCESS ? printable(textOf(buffer), 80) : null;
  }

  /** False where this driver or this device has no answer. @throws NvmlFault for anything else */
  #ask(name: Wanted, ...args: unknown[]): boolean {
    if (this.#functions[name] === null) return false;
    const code = this.#call(name, ...args);
    if (code !== NVML_SUCCESS && code !== NVML_ERROR_NOT_SUPPORTED) throw new NvmlFault(code);
    return code === NVML_SUCCESS;
  }

  #require(name: Wanted, ...args: unknown[]): void {
    const code = this.#call(name, ...args);
    if (code !== NVML_SUCCESS) throw new NvmlFault(code);
  }

  #call(name: Wanted, ...args: unknown[]): number {
    return this.#functions[name]?.(...args) ?? NVML_ERROR_NOT_SUPPORTED;
  }
}

const signatures = {
  start: ["needed", "int nvmlInit_v2()"],
  stop: ["needed", "int nvmlShutdown()"],
  count: ["needed", "int nvmlDeviceGetCount_v2(void *count)"],
  device: ["needed", "int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void *device)"],
  uuid: ["needed", "int nvmlDeviceGetUUID(uintptr_t device, void *uuid, unsigned int length)"],
  name: ["optional", "int nvmlDeviceGetName(uintptr_t device, void *name, unsigned int length)"],
  memory: ["optional", "int nvmlDeviceGetMemoryInfo(uintptr_t device, void *memory)"],
  mig: ["optional", "int nvmlDeviceGetMigMode(uintptr_t device, void *current, void *pending)"],
  driverVersion: ["optional", "int nvmlSystemGetDriverVersion(void *version, unsigned int length)"],
  utilization: ["optional", "int nvmlDeviceGetUtilizationRates(uintptr_t device, void *rates)"],
  temperature: ["optional", "int nvmlDeviceGetTemperature(uintptr_t device, int sensor, void *degrees)"],
  partitionCount: ["optional", "int nvmlDeviceGetMaxMigDeviceCount(uintptr_t device, void *count)"],
  partition: [
    "optional",
    "int nvmlDeviceGetMigDeviceHandleByIndex(uintptr_t device, unsigned int index, void *partition)",
  ],
  processes: ["optional", "int nvmlDeviceGetComputeRunningProcesses_v3(uintptr_t device, void *count, void *infos)"],
} as const satisfies Record<string, readonly ["needed" | "optional", string]>;
type Wanted = keyof typeof signatures;

function textOf(buffer: Buffer): string {
  const end = buffer.indexOf(0);
  return buffer.toString("latin1", 0, end < 0 ? buffer.length : end);
}

/** Nothing of what a library says is obeyed by a terminal. */
export function printable(text: string, length: number): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, length);
}
