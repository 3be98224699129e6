import { execFile } from "node:child_process";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import { addBlock, HITS_NAME } from "./coverage.ts";
import { Fuzzer } from "./fuzzer.ts";
import { instrument } from "./instrument.ts";
import { mutateBytes } from "./mutate.ts";
import { readSeeds } from "./seeds.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets.ts";

const attack = attacksOn("the readers of untrusted bytes");

const SEED = 1;
const STEPS = 150;

test.each(Object.keys(targets))(
  "%s refuses by its codes what the fuzzer kept, and what is like it",
  attack.each("sends what a fuzzer makes"),
  async (name) => {
    const target = await targets[name]!();
    onTestFinished(() => target.close?.());
    const fuzzer = new Fuzzer(target, { seed: SEED, words: ["v", "kind", "services", "__proto__"] });
    for (const input of [...target.starts, ...readSeeds(name)]) await fuzzer.try(input);
    expect(fuzzer.progress.accepted).toBeGreaterThan(0);
    for (let step = 0; step < STEPS; step++) await fuzzer.step();
    expect(fuzzer.findings.map(({ words, input }) => ({ words, input: input.toString("latin1") }))).toEqual([]);
    observed(`${STEPS} steps from the kept inputs: taken, or refused by a known code`);
  },
);

/** Fails for inputs that begin with a word, which only coverage can lead to, a letter at a time. */
function targetWithSecret(secret: string, hit: (depth: number) => void): Target {
  return {
    codes: [],
    starts: [Buffer.from("....")],
    mutate: mutateBytes,
    maxBytes: 16,
    run(input) {
      for (let depth = 0; depth < secret.length; depth++) {
        if (input[depth] !== secret.charCodeAt(depth)) return "refused";
        hit(depth);
      }
      throw new TypeError("the secret was found");
    },
  };
}

test("coverage leads to what chance does not find, and the input is shortened", async () => {
  const secret = "Fuzz";
  const first = Array.from(secret, addBlock)[0]!;
  const guided = new Fuzzer(
    targetWithSecret(secret, (depth) => void globalThis[HITS_NAME][first + depth]!++),
    { seed: SEED },
  );
  const blind = new Fuzzer(
    targetWithSecret(secret, () => undefined),
    { seed: SEED },
  );
  for (const fuzzer of [guided, blind]) {
    await fuzzer.try(Buffer.from("...."));
    for (let step = 0; step < 60_000; step++) await fuzzer.step();
  }
  expect(guided.findings.map(({ input }) => input.toString())).toEqual([secret]);
  expect(blind.findings).toEqual([]);
});

test("every branch of instrumented code is counted, and it does what it did", () => {
  const source = [
    "(a: number, b?: { c: string }): string => {",
    '  const word = (n: number) => n > 2 ? "big" : b?.c ?? "small";',
    '  if (a === 0) return "none"; else if (a < 0) throw new Error("negative");',
    "  for (let i = 0; i < a; i++) if (i === 7) break;",
    '  switch (a) { case 1: case 2: return word(a); default: { return word(a) + (b && "!"); } }',
    "}",
  ].join("\n");
  const before = addBlock();
  const code = instrument(source);
  expect(addBlock() - before - 1).toBe(16);
  expect(code.split("\n")).toHaveLength(source.split("\n").length);
  const [plain, counted] = [source, code].map((text) => new Function(`return ${stripTypeScriptTypes(text)}`)());
  for (const args of [[0], [1], [2, { c: "x" }], [3, { c: "y" }], [9]]) {
    expect(counted(...args)).toBe(plain(...args));
  }
  expect(globalThis[HITS_NAME][before + 1]).toBe(5);
});

test("npm run fuzz counts the product's own blocks, prints a table and fails for a word it does not know", async () => {
  const run = (...words: string[]) =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, "main.ts"), ...words]);
  const { stdout } = await run("--target", "elf", "--runs", "500", "--seed", "1");
  const [headings, row] = stdout.split("\n").map((line) => line.trim().split(/ {2,}/));
  const figures = Object.fromEntries(headings!.map((heading, index) => [heading, row![index]]));
  expect(Number(figures.executions)).toBeGreaterThanOrEqual(500);
  expect(Number(figures.blocks)).toBeGreaterThan(40);
  expect(figures.findings).toBe("0");
  await expect(run("--target", "nonsense")).rejects.toMatchObject({ code: 2 });
});
