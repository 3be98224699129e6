/**
 * Lets some actions run at a time and has the others wait, taking turns among those who asked: whoever asks a thousand
 * things at once waits for them, and nobody else does.
 */
export class FairTurns {
  readonly #most: number;
  /** Who waits, in the order of their turns, each with what waits. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #running = 0;

  /** @param most how many run at a time */
  constructor(most: number) {
    this.#most = most;
  }

  /** @param who has one turn among the others */
  async run<T>(who: string, action: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    else await this.#wait(who); // the turn is handed over, so that it stays counted
    try {
      return await action();
    } finally {
      this.#handOver();
    }
  }

  #wait(who: string): Promise<void> {
    return new Promise((resolve) => {
      const own = this.#waiting.get(who);
      if (own === undefined) this.#waiting.set(who, [resolve]);
      else own.push(resolve);
    });
  }

  #handOver(): void {
    const next = this.#waiting.entries().next().value;
    if (next === undefined) {
      this.#running--;
      return;
    }
    const [who, own] = next;
    const begin = own.shift()!;
    // To the end of the line, behind all others who wait.
    this.#waiting.delete(who);
    if (own.length > 0) this.#waiting.set(who, own);
    begin();
  }
}
