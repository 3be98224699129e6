import { type TestContext, test } from "vitest";

/** What became of an attack, for the table of `npm run attack`. */
export interface AttackEnd {
  /** In a few words, such as "refused before a port opened". */
  readonly outcome: string;
  /** The stable code that was seen: Signet's, or the kernel's name of the error. Left out where there is none. */
  readonly code?: string | undefined;
}

export interface AttackRecord extends Partial<AttackEnd> {
  readonly tried: string;
}

declare module "vitest" {
  interface TaskMeta {
    attack?: AttackRecord;
  }
}

/**
 * A test that performs an attack and fails if it succeeds.
 * @param tried what somebody would do, in a few words
 * @param perform does it, asserts that it failed, and says how
 */
export function attack(
  name: string,
  tried: string,
  perform: (context: TestContext) => AttackEnd | Promise<AttackEnd>,
): void {
  test(name, async (context) => {
    context.task.meta.attack = { tried };
    context.task.meta.attack = { tried, ...(await perform(context)) };
  });
}
