import type { PeakUse } from "./reservation.ts";

/** What services used at most, as far as somebody looked: beside what they declare, for whoever sizes them. */
export class PeakUses {
  readonly #peaks = new Map<string, PeakUse>();

  of(service: string): PeakUse | undefined {
    return this.#peaks.get(service);
  }

  /** @param gpuBytes on each of its GPUs; null where the driver does not tell */
  note(service: string, memoryBytes: number, gpuBytes: readonly number[] | null): void {
    const known = this.#peaks.get(service) ?? { memoryBytes: 0, gpuMemoryBytes: null };
    const most = gpuBytes === null ? null : Math.max(...gpuBytes, known.gpuMemoryBytes ?? 0);
    this.#peaks.set(service, {
      memoryBytes: Math.max(known.memoryBytes, memoryBytes),
      gpuMemoryBytes: most ?? known.gpuMemoryBytes,
    });
  }
}
