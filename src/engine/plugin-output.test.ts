import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { forwardLines } from "./plugin-output.ts";

const attack = attacksOn("logs and tickets");

/** Writes text as a plugin would and returns the lines that get through; `nowMs` stands still unless set. */
async function forward(chunks: readonly (string | { atMs: number })[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  let now = 0;
  forwardLines(
    stream,
    ({ line }) => lines.push(line),
    () => now,
  );
  for (const chunk of chunks) {
    if (typeof chunk === "string") {
      stream.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    } else now = chunk.atMs;
  }
  stream.end();
  await finished(stream);
  return lines;
}

test("lines are cut where they end, whatever chunks they come in", async () => {
  expect(await forward(["one\ntw", "o\n\nthree"])).toEqual(["one", "two", "three"]);
});

test(
  "a line without end does not gather in memory",
  attack("fills the memory by a line of a plugin", "50,000 characters without an end"),
  async () => {
    const lines = await forward(Array.from({ length: 50 }, () => "x".repeat(1_000)));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(2_000);
    expect(lines.length).toBeGreaterThan(10);
    observed(`cut into ${lines.length} lines`);
  },
);

test(
  "of a flood the first lines get through, and how many followed",
  attack("floods the log by a plugin", "5,000 lines at once"),
  async () => {
    const lines = await forward(["line\n".repeat(5_000)]);
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe("(4900 more lines within a second were left out)");
    observed(lines.at(-1)!.replace(/[()]/g, ""));
  },
);

test("what was left out is counted with the line that says so", async () => {
  const stream = new PassThrough();
  const counted: number[] = [];
  forwardLines(
    stream,
    ({ dropped }) => counted.push(dropped),
    () => 0,
  );
  stream.end("line\n".repeat(150));
  await finished(stream);
  expect(counted).toEqual([...new Array(100).fill(0), 50]);
});

test("after a flood has ended lines get through again", async () => {
  const lines = await forward(["line\n".repeat(200), { atMs: 1_500 }, "later\n"]);
  expect(lines.slice(-2)).toEqual(["(100 more lines within a second were left out)", "later"]);
});

test(
  "who writes more than can be read without taking time from others waits for the next second",
  attack("takes the gateway's time by writing", "16 MiB of empty lines at once"),
  async () => {
    const stream = new PassThrough();
    forwardLines(
      stream,
      () => undefined,
      () => 0,
    );
    let reads = 0;
    stream.on("data", () => reads++);
    for (let chunk = 0; chunk < 256; chunk++) stream.write("\n".repeat(64 * 1024));
    await new Promise((resolve) => setImmediate(resolve));
    expect(stream.isPaused()).toBe(true);
    expect(reads).toBe(16);
    observed(`${reads} of 256 chunks were read, the others wait`);
    stream.destroy();
  },
);
