interface Sample {
  readonly ms: number;
  readonly bytes: number;
}

/** Growth is judged over so many looks, so that a single large job is none. */
const SAMPLES = 6;
/** Below this part of the limit there is no hurry. */
const CONCERNING = 0.5;
/** At this pace the limit must be reached within so long, ms. */
const HORIZON_MS = 10 * 60_000;

export interface MemoryGrowth {
  readonly bytes: number;
  readonly bytesPerSecond: number;
  /** When the limit is reached if it goes on like that, ms from now. */
  readonly limitInMs: number;
}

/** Finds out whether a process's memory rises, look after look, towards what it may have. */
export class MemoryWatch {
  #samples: Sample[] = [];
  #isGrowing = false;

  get isGrowing(): boolean {
    return this.#isGrowing;
  }

  /** @param bytes 0 where there is no process @returns what is found now and was not before */
  look(bytes: number, limitBytes: number, nowMs: number): MemoryGrowth | undefined {
    const last = this.#samples.at(-1);
    // What falls begins anew, another process does too.
    if (bytes === 0 || (last !== undefined && bytes < last.bytes)) this.#forget();
    this.#samples = [...this.#samples, { ms: nowMs, bytes }].slice(-SAMPLES);
    const first = this.#samples[0]!;
    const rises = this.#samples.every(({ bytes: at }, index) => index === 0 || at > this.#samples[index - 1]!.bytes);
    if (this.#samples.length < SAMPLES || !rises || bytes < CONCERNING * limitBytes) {
      this.#isGrowing &&= rises;
      return undefined;
    }
    const bytesPerSecond = (bytes - first.bytes) / ((nowMs - first.ms) / 1000);
    const limitInMs = ((limitBytes - bytes) / bytesPerSecond) * 1000;
    if (this.#isGrowing || limitInMs > HORIZON_MS) return undefined;
    this.#isGrowing = true;
    return { bytes, bytesPerSecond, limitInMs };
  }

  #forget(): void {
    this.#samples = [];
    this.#isGrowing = false;
  }
}
