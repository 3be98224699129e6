/** Ends of jobs that are remembered. */
const REMEMBERED = 16;
/** How long after a job's end what it printed may still be on its way, where nobody looked for that, ms. */
const AFTERWARDS_MS = 50;
/** Of a process that printed so recently, ms, it is worth knowing when all that was printed has been read. */
const RECENTLY_MS = 1000;

/** What was a job of a process, by the ids of those who know it. */
export interface Writing {
  readonly ids: readonly string[];
}

/**
 * Who may have written what a process printed. Its output comes through pipes that say nothing of jobs, so a line may be
 * of every job that runs when it is read, and of those that have ended since there was nothing to read.
 */
export class Writers {
  readonly #ended: (readonly string[])[] = [];
  readonly #endedMs = new Float64Array(REMEMBERED);
  #next = 0;
  #printedMs = Number.NEGATIVE_INFINITY;
  /** What was printed until then has been read. */
  #readUntilMs = Number.NEGATIVE_INFINITY;
  /** What was printed from then until now may not have been read yet; Infinity where nobody looks. */
  #unreadFromMs = Number.POSITIVE_INFINITY;

  /** @param nowMs on the clock of performance.now() */
  ended({ ids }: Writing, nowMs: number): void {
    this.#ended[this.#next] = ids;
    this.#endedMs[this.#next] = nowMs;
    this.#next = (this.#next + 1) % REMEMBERED;
    if (nowMs - this.#printedMs <= RECENTLY_MS && this.#unreadFromMs === Number.POSITIVE_INFINITY) this.#look(nowMs);
  }

  /** It had printed before it said that it ended, so the event loop's next look at its descriptors finds all of that. */
  #look(endedMs: number): void {
    this.#unreadFromMs = endedMs;
    setImmediate(() => {
      this.#readUntilMs = endedMs;
      this.#unreadFromMs = Number.POSITIVE_INFINITY;
      const lastMs = this.#endedMs[(this.#next + REMEMBERED - 1) % REMEMBERED]!;
      if (lastMs > endedMs) this.#look(lastMs);
    });
  }

  /**
   * @param ms of what was not there to be read at that time
   * @returns those that have ended first, then those that run: more often than not it is the last word of one, and not
   * the first of the next
   */
  since(ms: number, running: Iterable<Writing>, nowMs = performance.now()): readonly string[] {
    this.#printedMs = nowMs;
    const fromMs = Math.max(ms, Math.min(nowMs - AFTERWARDS_MS, this.#unreadFromMs));
    const ids = new Set<string>();
    this.#ended.forEach((ended, index) => {
      const endedMs = this.#endedMs[index]!;
      if (endedMs >= fromMs && endedMs > this.#readUntilMs) for (const id of ended) ids.add(id);
    });
    for (const each of running) for (const id of each.ids) ids.add(id);
    return [...ids];
  }
}
