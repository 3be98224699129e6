/** Random numbers that come again with their seed (mulberry32). Not for secrets. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1, without it. */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to `limit`, without it; 0 where there is none. */
  below(limit: number): number {
    return Math.max(0, Math.floor(this.unit() * limit));
  }

  between(least: number, most: number): number {
    return least + this.unit() * (most - least);
  }

  /** Small and large are equally likely: half of the numbers lie below the geometric mean. */
  magnitude(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.unit());
  }

  chance(part: number): boolean {
    return this.unit() < part;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}
