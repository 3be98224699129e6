import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const program = fileURLToPath(new URL("../../bin/signet-license", import.meta.url));
const good = "correct horse battery staple";
const CTRL_C = "\u0003";

/** Types one answer at each prompt of `vendor init` on a terminal, and tells what was on the screen at the end. */
async function typeAtPrompts(answers: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), "signet-passphrase-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const command = `'${program}' vendor init --name A --out acme`;
  const { SIGNET_PASSPHRASE: _, ...env } = process.env;
  // script(1) gives the program a terminal; -e hands its exit code on.
  const child = spawn("script", ["-qec", command, "/dev/null"], { cwd: directory, env, stdio: "pipe" });
  let screen = "";
  let answered = 0;
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    screen += text;
    const prompts = screen.match(/(?:or more|same again): /g)?.length ?? 0;
    while (answered < prompts && answered < answers.length) child.stdin.write(answers[answered++]!);
  });
  const [exit] = await once(child, "close");
  return { screen, exit, isMade: existsSync(join(directory, "acme")) };
}

test("a new passphrase is typed twice, and is not shown", async () => {
  const { screen, exit, isMade } = await typeAtPrompts([`${good}\r`, `${good}\r`]);
  expect({ exit, isMade }).toEqual({ exit: 0, isMade: true });
  expect(screen).toContain("12 characters or more");
  expect(screen).not.toContain(good);
});

test("one that is too short is refused before it is typed again, and one that differs is asked for again", async () => {
  const { screen, exit } = await typeAtPrompts(["short\r", `${good}\r`, `${good}s\r`, `${good}\r`, `${good}\r`]);
  expect(exit).toBe(0);
  expect(screen.match(/same again/g)).toHaveLength(2);
  expect(screen).toMatch(/too short[\s\S]*differ/);
});

test("three that will not do are enough", async () => {
  const { screen, exit, isMade } = await typeAtPrompts(["a\r", "b\r", "c\r", `${good}\r`]);
  expect({ exit, isMade }).toEqual({ exit: 2, isMade: false });
  expect(screen).toContain("signet-license: USAGE: ");
});

test("Ctrl-C ends the program as it ends any other, without a word", async () => {
  const { screen, exit, isMade } = await typeAtPrompts([CTRL_C]);
  expect({ exit, isMade }).toEqual({ exit: 130, isMade: false });
  expect(screen.trim().split("\n")).toHaveLength(1);
});
