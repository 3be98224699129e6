import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { compileCrooked, useDirectory } from "../helpers/crooked.ts";
import { nativeLibrary } from "../helpers/native.ts";
import { runProgram } from "../helpers/programs.ts";

function check(...words: string[]) {
  return runProgram("signet", ["plugin", "check", ...words]);
}

test("a good plugin ends with 0 and a line for each check", () => {
  const { exit, out, err } = check(nativeLibrary("identity"));
  expect(exit).toBe(0);
  expect(out).toMatch(/^ok +run with zeros +input \[1\] to output \[1\]/m);
  expect(err).toContain(" 0 failures");
});

test("a configuration reaches create", () => {
  const { exit, out } = check(nativeLibrary("identity"), "--config", '{"datatype":"FP32","shape":[2,3]}', "--json");
  expect(exit).toBe(0);
  const { summary, findings } = JSON.parse(out);
  expect(summary.fail).toBe(0);
  expect(findings).toContainEqual(
    expect.objectContaining({ level: "ok", found: "input FP32[2,3] to output FP32[2,3]" }),
  );
});

test("what is no plugin ends with 1, and as JSON says the same", () => {
  const path = join(useDirectory(), "notes.txt");
  writeFileSync(path, "not a library");
  const { exit, out } = check(path, "--json");
  expect(exit).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ library: path, summary: { fail: 1 } });
});

test.each([
  ["a file that is not there", ["/nonexistent.so"], "FILE_UNREADABLE"],
  ["a configuration that is not JSON", [nativeLibrary("identity"), "--config", "{"], "USAGE"],
  ["a configuration that is no object", [nativeLibrary("identity"), "--config", "[]"], "USAGE"],
  ["no time at all", [nativeLibrary("identity"), "--timeout", "0"], "USAGE"],
])("%s ends with 2", (_, words, code) => {
  expect(check(...words)).toMatchObject({ exit: 2, code });
});

test("a check that is killed leaves no process behind, though its plugin loops for ever", async () => {
  const library = compileCrooked(join(useDirectory(), "loop.so"), { faults: ["LOAD_LOOP"] });
  const program = new URL("../../src/cli/main.ts", import.meta.url).pathname;
  const running = spawn(process.execPath, [program, "plugin", "check", library], { stdio: "ignore" });
  onTestFinished(() => {
    running.kill("SIGKILL");
  });
  const inside = await expect
    .poll(() => childInside(running.pid!, "loop.so"), { timeout: 30_000 })
    .toBeDefined()
    .then(() => childInside(running.pid!, "loop.so")!);
  running.kill("SIGKILL");
  await expect.poll(() => mapsOf(inside), { timeout: 30_000 }).toBe("");
});

/** The child of a process that has loaded a sealed library of this name. */
function childInside(pid: number, library: string): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  return children.find((child) => mapsOf(child).includes(`/memfd:${library}`));
}

/** Empty for a process that is gone. */
function mapsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/maps`, "utf8");
  } catch {
    return "";
  }
}
