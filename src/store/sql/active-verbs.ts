import { SignetError } from "../../errors.ts";

/** The verbs that are under way, so that a store ends after them. */
export class ActiveVerbs {
  readonly #active = new Set<Promise<unknown>>();
  #ended: Promise<void> | undefined;

  /** @throws STORE_UNAVAILABLE after the end */
  async run<T>(verb: () => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw new SignetError("STORE_UNAVAILABLE", "the store is closed");
    const running = verb();
    this.#active.add(running);
    try {
      return await running;
    } finally {
      this.#active.delete(running);
    }
  }

  /** Takes no further verbs, and closes when those that are under way have ended. */
  end(close: () => Promise<void>): Promise<void> {
    this.#ended ??= Promise.allSettled(this.#active).then(close);
    return this.#ended;
  }
}
