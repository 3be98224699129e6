import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { useDirectory } from "../../test/helpers/crooked.ts";
import { skipWithout } from "../../test/helpers/sandboxes.ts";
import { verifySandbox } from "./index.ts";

/** A system whose bwrap does this. */
function useBwrap(script: string): string {
  const root = useDirectory();
  mkdirSync(join(root, "usr/bin"), { recursive: true, mode: 0o755 });
  writeFileSync(join(root, "usr/bin/bwrap"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return root;
}

describe("a bubblewrap", () => {
  test("that starts what a service would be is taken", (context) => {
    skipWithout("bwrap", context);
    expect(verifySandbox("bwrap").landlock).toBe(verifySandbox("seccomp").landlock);
  });

  test.each([
    ["says why it cannot", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "bwrap: No permissions"],
    ["ends without a word", "exit 7", "exit status 7"],
    ["is killed", "kill -9 $$", "SIGKILL"],
  ])("that %s is refused with what it said or did", (_, script, found) => {
    const message = expect.stringContaining(found);
    expect(() => verifySandbox("bwrap", useBwrap(script))).toThrow(
      expect.objectContaining({ code: "SANDBOX_UNAVAILABLE", message }),
    );
  });
});
