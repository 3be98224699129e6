import type { TestContext } from "vitest";
import { verifySandbox } from "../../src/engine/index.ts";

export const sandboxes = ["seccomp", "bwrap"] as const;

let missing: string | null | undefined;

/** Skips a test of a sandbox that only some machines have; `npm test` installs bubblewrap where it may. */
export function skipWithout(sandbox: (typeof sandboxes)[number], { skip }: TestContext): void {
  if (sandbox !== "bwrap") return;
  missing ??= whyNoBubblewrap();
  if (missing !== null) skip(missing);
}

function whyNoBubblewrap(): string | null {
  try {
    verifySandbox("bwrap");
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
