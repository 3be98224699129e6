import { availableParallelism, totalmem } from "node:os";
import type { Card, CardReading, DeviceProcess } from "../../plugin/index.ts";
import type { DeviceFacts } from "../../store/index.ts";
import { CardWatch, type CardWatchOptions } from "./card-watch.ts";

/** A GPU, or a partition of one (MIG), as it is now. */
export interface Gpu {
  /** `gpu:0`, or `gpu:0:1` for a partition: what people and the store call it. It stays with the card, whatever happens. */
  readonly name: string;
  /** Its serial number, for CUDA_VISIBLE_DEVICES: never shown, never logged. */
  readonly uuid: string;
  readonly model: string | null;
  readonly isPartition: boolean;
  readonly totalBytes: number;
  /** Measured: by whomever, and by the driver itself. */
  readonly usedBytes: number;
  /** The share of time in which something ran; null where the driver does not tell. */
  readonly utilizationPercent: number | null;
  readonly temperatureC: number | null;
  /** What computes on it; null where the driver does not tell. */
  readonly processes: readonly DeviceProcess[] | null;
  /** Why nothing can be run on it now, in words; null where something can. */
  readonly fault: string | null;
}

/** How old a reading may be for whoever places something. */
const FRESH_MS = 500;

/** What this host has for services to run on: its GPUs, looked at again and again, and its processor and memory. */
export class Devices {
  readonly #watch: CardWatch;
  /** By serial number: those that were ever seen. */
  #gpus = new Map<string, Gpu>();
  #reason: string | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(options: CardWatchOptions = {}) {
    this.#watch = new CardWatch(options);
  }

  /** Looks at the GPUs, if nobody just has. */
  async look(): Promise<void> {
    if (performance.now() - this.#lookedMs < FRESH_MS) return;
    const reading = await this.#watch.read();
    this.#lookedMs = performance.now();
    this.#take(reading);
  }

  /** As they were when somebody last looked, also those that cannot be used. */
  get gpus(): readonly Gpu[] {
    return [...this.#gpus.values()];
  }

  /** Why there are no GPUs, in words; null where there are. */
  get reason(): string | null {
    return this.#reason;
  }

  /** What can be reserved, by whomever: totals, not what is free. */
  get facts(): readonly DeviceFacts[] {
    // A control group may allow less than the machine has.
    const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
    const gpus = this.gpus.map(({ name, totalBytes }) => ({ device: name, memoryBytes: totalBytes, cores: 0 }));
    return [{ device: "cpu", memoryBytes, cores: availableParallelism() }, ...gpus];
  }

  close(): void {
    this.#watch.close();
  }

  #take({ cards, reason }: CardReading): void {
    this.#reason = reason;
    const seen = new Map(cards.flatMap(gpusOf).map((gpu) => [gpu.uuid, gpu]));
    const faults = new Map(cards.map(({ index, fault }) => [`gpu:${index}`, fault]));
    for (const known of this.#gpus.values()) {
      const found = seen.get(known.uuid);
      seen.delete(known.uuid);
      const fault = reason ?? faults.get(cardOf(known.name)) ?? "it is not there any more";
      this.#gpus.set(known.uuid, found === undefined ? { ...known, fault } : { ...found, name: known.name });
    }
    for (const found of seen.values()) this.#gpus.set(found.uuid, { ...found, name: this.#freeName(found.name) });
  }

  /** A partition that was cut anew is another device, and must not be taken for the one that had its number. */
  #freeName(name: string): string {
    const taken = new Set(this.gpus.map((gpu) => gpu.name));
    const [kind, card, first] = name.split(":");
    if (first === undefined) return taken.has(name) ? this.#freeName(`${kind}:${Number(card) + 1}`) : name;
    for (let index = Number(first); ; index++) {
      if (!taken.has(`${kind}:${card}:${index}`)) return `${kind}:${card}:${index}`;
    }
  }
}

/** `gpu:0` of `gpu:0:1`. */
function cardOf(name: string): string {
  return name.split(":", 2).join(":");
}

/** What can be given to a service of a card: the card, or where it is cut its partitions. */
function gpusOf(card: Card): Gpu[] {
  const { index, utilizationPercent, temperatureC, fault } = card;
  if (card.mig === "on") {
    return card.partitions.map((part) => ({
      name: `gpu:${index}:${part.index}`,
      uuid: part.uuid,
      model: part.name,
      isPartition: true,
      totalBytes: part.memory.totalBytes,
      usedBytes: part.memory.usedBytes,
      utilizationPercent,
      temperatureC,
      processes: part.processes,
      fault,
    }));
  }
  if (card.uuid === null || card.memory === null) return [];
  const { totalBytes, usedBytes } = card.memory;
  return [
    {
      name: `gpu:${index}`,
      uuid: card.uuid,
      model: card.name,
      isPartition: false,
      ...{ totalBytes, usedBytes, utilizationPercent, temperatureC, processes: card.processes, fault },
    },
  ];
}
