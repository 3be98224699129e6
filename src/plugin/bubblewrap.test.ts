import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { useDirectory } from "../../test/helpers/crooked.ts";
import { bubblewrapTrial, findBubblewrap } from "./bubblewrap.ts";

const attack = attacksOn("the rest of the machine by a plugin");

function useProgram(path: string): { readonly root: string; readonly program: string } {
  const root = useDirectory();
  const program = join(root, path);
  mkdirSync(dirname(program), { recursive: true, mode: 0o755 });
  writeFileSync(program, "", { mode: 0o755 });
  return { root, program };
}

const unavailable = (words: string) =>
  expect.objectContaining({ code: "SANDBOX_UNAVAILABLE", message: expect.stringContaining(words) });

describe("bubblewrap", () => {
  test("is found where only root can have put it", () => {
    const { root, program } = useProgram("usr/bin/bwrap");
    expect(findBubblewrap(root)).toEqual({ path: program });
  });

  test("is refused where it is missing, and the places that were looked at are named", () => {
    const root = useDirectory();
    expect(() => bubblewrapTrial(root)).toThrow(unavailable("/usr/bin or /usr/local/bin"));
  });

  test(
    "is refused where others could have changed it, its directory or what a link leads to",
    attack("exchanges bubblewrap", "a program, a directory, a link that others can write"),
    () => {
      const { root, program } = useProgram("usr/bin/bwrap");
      chmodSync(program, 0o775);
      expect(() => bubblewrapTrial(root)).toThrow(unavailable("can be changed by other users"));
      chmodSync(program, 0o755);
      chmodSync(dirname(program), 0o777);
      expect(() => bubblewrapTrial(root)).toThrow(unavailable("can be changed by other users"));

      const other = useProgram("tmp/program");
      chmodSync(other.program, 0o777);
      mkdirSync(join(other.root, "usr/bin"), { recursive: true });
      symlinkSync(other.program, join(other.root, "usr/bin/bwrap"));
      expect(() => bubblewrapTrial(other.root)).toThrow(unavailable("can be changed by other users"));
    },
  );

  test("is not looked for in PATH", attack("puts a false bubblewrap first", "PATH"), () => {
    const { root, program } = useProgram("bin/bwrap");
    vi.stubEnv("PATH", dirname(program));
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    expect(findBubblewrap(root)).toMatchObject({ path: null });
    observed("not run");
  });
});
