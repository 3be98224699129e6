import type { IncomingMessage, ServerResponse } from "node:http";

/** Calls of another protocol that come over this listener, which does not look into them. */
export interface ForeignCalls {
  /** The first parts of their paths; the second is a method. */
  readonly services: readonly string[];
  /**
   * Answers in its own form whatever comes, and lets nobody in whom the gate would not.
   * @param hold to be told of every piece of the body that is kept until the answer is over
   */
  answer(request: IncomingMessage, response: ServerResponse, hold: (bytes: number) => void): void;
}
