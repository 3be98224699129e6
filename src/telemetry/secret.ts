import { inspect } from "node:util";

const SHOWN = "[secret]";

/** Holds a secret so that printing, logging or serializing what contains it never shows it. */
export class Secret {
  // A private field, so that spreading, Object.entries and inspect({ showHidden }) do not see it either.
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The secret itself: the only way to it, easy to find in a review. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}
