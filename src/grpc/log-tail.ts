import type { LogLine } from "../logs/index.ts";

/** Lines that wait for a slow client; beyond that they are counted. */
const MAX_WAITING = 1000;
/** How often there is something to look after although nothing is said, ms. */
const IDLE_MS = 2000;

export interface TailedLine {
  /** null where there was none for a while, so that whoever sends them can look whether the caller may still have them. */
  readonly line: LogLine | null;
  /** Lines that were left out before it. */
  readonly skipped: number;
}

/** Lines from now on, as fast as they are taken: what nobody takes is bounded. */
export class LogTail {
  #waiting: (TailedLine & { readonly line: LogLine })[] = [];
  /** After those that wait. */
  #skipped = 0;
  #isOver = false;
  #wake: (() => void) | undefined;
  readonly #unsubscribe: () => void;

  /** @param subscribe begins it, and returns what ends it */
  constructor(subscribe: (onLine: (line: LogLine) => void) => () => void) {
    this.#unsubscribe = subscribe((line) => {
      if (this.#waiting.length >= MAX_WAITING) {
        this.#skipped++;
        return;
      }
      this.#waiting.push({ line, skipped: this.#skipped });
      this.#skipped = 0;
      this.#wake?.();
    });
  }

  end(): void {
    this.#isOver = true;
    this.#unsubscribe();
    this.#wake?.();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  /** @param known lines that were read from the files meanwhile, and do not come twice */
  async *after(known: readonly LogLine[]): AsyncGenerator<TailedLine> {
    const keys = new Set(known.map(keyOf));
    this.#waiting = this.#waiting.filter(({ line }) => !keys.has(keyOf(line)));
    while (!this.#isOver) {
      const lines = this.#waiting;
      this.#waiting = [];
      yield* lines;
      if (lines.length === 0) yield { line: null, skipped: 0 };
      if (this.#waiting.length === 0 && !this.#isOver) await this.#next();
    }
  }

  #next(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, IDLE_MS);
    this.#wake = resolve;
    return promise.finally(() => {
      clearTimeout(timer);
      this.#wake = undefined;
    });
  }
}

function keyOf({ time, source, service, text }: LogLine): string {
  return JSON.stringify([time, source, service, text]);
}
