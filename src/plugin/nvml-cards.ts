import { z } from "zod";
import { countGpus, type GpuReading, openNvml } from "./nvml.ts";
import type { NvmlLibrary } from "./nvml-library.ts";

/**
 * What goes on on the cards now, for whoever places services on them. `nvml.ts` says who the cards are, which is asked
 * once; this is asked every few seconds, so the library stays loaded.
 */

const bytes = z.int().nonnegative();
/** A serial number, of a GPU or of a MIG partition: what CUDA_VISIBLE_DEVICES takes. Never shown, never logged. */
const uuid = z.string().regex(/^(GPU|MIG)-[0-9A-Za-z/-]{4,90}$/);
const memory = z.strictObject({ totalBytes: bytes, freeBytes: bytes, usedBytes: bytes });
const processes = z
  .array(z.strictObject({ pid: z.int().nonnegative(), bytes: bytes.nullable() }))
  .max(1024)
  .nullable();

const partitionSchema = z.strictObject({
  index: z.int().min(0).max(127),
  uuid,
  name: z.string().max(96).nullable(),
  memory,
  processes,
});

const cardSchema = z.strictObject({
  /** As the driver numbers them. */
  index: z.int().min(0).max(127),
  uuid: uuid.nullable(),
  name: z.string().max(96).nullable(),
  memory: memory.nullable(),
  /** The share of time in which something ran, percent; null where the driver does not tell, as with MIG. */
  utilizationPercent: z.int().min(0).max(100).nullable(),
  temperatureC: z.int().max(1000).nullable(),
  /** Whether it is cut into partitions; null where it cannot be. */
  mig: z.enum(["on", "off"]).nullable(),
  partitions: z.array(partitionSchema).max(64),
  /** What computes on it; null where the driver does not tell. */
  processes,
  /** Why nothing can be run on it now, in words; null where something can. */
  fault: z.string().max(200).nullable(),
});
export type Card = z.infer<typeof cardSchema>;

export const cardReadingSchema = z.strictObject({
  driverVersion: z.string().max(80).nullable(),
  cards: z.array(cardSchema).max(128),
  /** Why there are none, in words; null where there are. */
  reason: z.string().max(400).nullable(),
});
export type CardReading = z.infer<typeof cardReadingSchema>;

export function noCards(reason: string): CardReading {
  return { driverVersion: null, cards: [], reason };
}

/** Keeps the driver's library loaded and asks it. Only for a process that may hang or end. */
export class CardReader {
  readonly #library: NvmlLibrary | GpuReading;

  constructor(path: string) {
    this.#library = openNvml(path);
  }

  /** False where only another process, with a library loaded anew, could read more than a reason. */
  get isUsable(): boolean {
    return !("reason" in this.#library);
  }

  read(): CardReading {
    const library = this.#library;
    if ("reason" in library) return noCards(library.reason ?? "");
    const driverVersion = library.driverVersion();
    const count = countGpus(library);
    if (typeof count === "object") return { ...noCards(count.reason ?? ""), driverVersion };
    const cards = Array.from({ length: count }, (_, index) => readCard(library, index));
    return { driverVersion, cards, reason: count === 0 ? "the NVIDIA driver is there and finds no GPU" : null };
  }
}

/** Of which nothing is known but that it is there. */
function unknownCard(index: number, fault: string): Card {
  const nothing = { uuid: null, name: null, memory: null, utilizationPercent: null, temperatureC: null, mig: null };
  return { index, ...nothing, partitions: [], processes: null, fault };
}

function readCard(library: NvmlLibrary, index: number): Card {
  try {
    const device = library.device(index);
    const mig = library.mig(device);
    const memory = library.memory(device);
    return {
      index,
      uuid: uuid.parse(library.uuid(device)),
      name: library.name(device),
      memory,
      utilizationPercent: library.utilization(device),
      temperatureC: library.temperature(device),
      mig,
      partitions: mig === "on" ? readPartitions(library, device) : [],
      processes: library.processes(device),
      fault: memory === null ? "the driver does not tell its memory" : null,
    };
  } catch (error) {
    return unknownCard(index, error instanceof z.ZodError ? "it gives no number of its own" : (error as Error).message);
  }
}

function readPartitions(library: NvmlLibrary, card: bigint): Card["partitions"] {
  return library.partitions(card).flatMap(({ index, device }) => {
    try {
      const memory = library.memory(device);
      if (memory === null) return [];
      const processes = library.processes(device);
      return [{ index, uuid: uuid.parse(library.uuid(device)), name: library.name(device), memory, processes }];
    } catch {
      return []; // it is being cut anew; the next reading sees what became of it
    }
  });
}
