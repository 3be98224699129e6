import { createRequire } from "node:module";
import { Command } from "commander";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { SignetError } from "../errors.ts";
import { formatError, printData, runProgram } from "./output.ts";

/** Runs a small program in this process and returns what it printed and its exit code. */
async function run(args: string[], action: (options: { json?: boolean }) => unknown = () => undefined) {
  const stdout = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const before = process.exitCode;
  process.exitCode = undefined;
  onTestFinished(() => {
    process.exitCode = before;
  });
  const program = new Command("prog").version("1.2.3");
  program
    .command("do")
    .option("--json")
    .option("--size <n>")
    .action(async (options) => void (await action(options)));
  await runProgram(program, args);
  const text = (spy: typeof stdout) => spy.mock.calls.map(([chunk]) => String(chunk)).join("");
  const result = { out: text(stdout), err: text(stderr), exit: process.exitCode ?? 0 };
  vi.restoreAllMocks();
  process.exitCode = before;
  return result;
}

describe("a program", () => {
  test("that succeeds says nothing and ends with 0", async () => {
    expect(await run(["do"])).toEqual({ out: "", err: "", exit: 0 });
  });

  test.each([
    ["FILE_UNREADABLE", 2],
    ["UNREACHABLE", 1],
    ["LICENSE_EXPIRED", 3],
    ["LEDGER_BUSY", 1],
  ] as const)("that fails with %s ends with %i and one line", async (code, exit) => {
    const result = await run(["do"], () => {
      throw new SignetError(code, "words of the failure");
    });
    expect(result).toMatchObject({ out: "", exit });
    expect(result.err).toMatch(new RegExp(`^prog: ${code}: words of the failure\\. [^\\n]+\\n$`));
  });

  test("that breaks in a way nobody foresaw says INTERNAL and ends with 1", async () => {
    const result = await run(["do"], () => Promise.reject(new TypeError("x is undefined")));
    expect(result).toMatchObject({ out: "", exit: 1 });
    expect(result.err).toMatch(/^prog: INTERNAL: .*x is undefined.*\n$/);
  });

  test("that lacks a package, as after an update, says how to get it", async () => {
    const result = await run(["do"], () => createRequire(import.meta.url)("no-such-package"));
    expect(result).toMatchObject({ out: "", exit: 1, err: expect.stringMatching(/no-such-package.*`npm run setup`/) });
  });

  test.each([[["don"]], [["do", "--sise"]], [["do", "extra"]], [["do", "--size"]]])(
    "called with wrong words %j ends with 2 and one line, no help",
    async (args) => {
      const result = await run(args);
      expect(result).toMatchObject({ out: "", exit: 2 });
      expect(result.err).toMatch(/^prog: USAGE: [^\n]+\n$/);
    },
  );

  test("called without a command shows its help on stderr and ends with 2", async () => {
    expect(await run([])).toMatchObject({ out: "", err: expect.stringContaining("Usage: prog"), exit: 2 });
  });

  test("prints help and version to stdout and ends with 0", async () => {
    expect(await run(["--version"])).toEqual({ out: "1.2.3\n", err: "", exit: 0 });
    const help = await run(["do", "--help"]);
    expect(help).toMatchObject({ err: "", exit: 0 });
    expect(help.out).toContain("--size");
  });
});

describe("printing", () => {
  test("gives JSON when asked and words otherwise", async () => {
    const data = [{ id: "a" }];
    const print = (options: { json?: boolean }) => printData(data, options, (list) => list.map(({ id }) => id).join());
    expect((await run(["do"], print)).out).toBe("a\n");
    expect(JSON.parse((await run(["do", "--json"], print)).out)).toEqual(data);
  });

  test("shows control characters of hostile input instead of obeying them", async () => {
    const hostile = "a\u001b[2Jb\u009b1mc\rd";
    expect((await run(["do"], () => printData(hostile, {}, String))).out).toBe("a\\u001b[2Jb\\u009b1mc\\u000dd\n");
    expect(formatError("prog", new SignetError("USAGE", hostile))).not.toMatch(/[\u001b\u009b\r]/);
  });

  test("an error is one line even where its message has more", () => {
    expect(formatError("prog", new SignetError("PLUGIN_FAILED", "first\nsecond"))).not.toContain("\n");
  });
});
