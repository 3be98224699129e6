import { expect, test } from "vitest";
import { z } from "zod";
import { SignetError } from "../errors.ts";
import { describeIssue } from "./describe-issue.ts";
import { parseYaml } from "./parse-yaml.ts";

const schema = z.strictObject({
  version: z.string().min(1).max(5).default("1"),
  level: z.enum(["low", "high"]).optional(),
  runs: z.int().min(1).max(10).nullable().optional(),
  models: z.array(z.string()).max(2).optional(),
  when: z.union([z.iso.date(), z.iso.datetime()], "expected a date such as 2027-01-31").optional(),
  lasts: z.string("expected a duration such as 7d").optional(),
  limits: z.strictObject({ of: z.record(z.string(), z.boolean()) }).optional(),
});

function issueOf(text: string) {
  const { value, placeOf } = parseYaml(text, "x.yaml", "CONFIG_INVALID");
  const { key, path, words } = describeIssue(schema.safeParse(value).error!, value);
  return `${placeOf(path)} ${key}: ${words}`;
}

test.each([
  ["version: 1", 'x.yaml:1 version: expected text, found a number; write version: "1"'],
  ["runs: 1\nversion: true", 'x.yaml:2 version: expected text, found a boolean; write version: "true"'],
  ["version: ''", 'x.yaml:1 version: expected text that is not empty, found ""'],
  ["version: abcdef", 'x.yaml:1 version: expected text of at most 5 characters, found "abcdef"'],
  ["level: loud", 'x.yaml:1 level: expected one of low, high, found "loud"'],
  ["runs: 0", "x.yaml:1 runs: expected at least 1, found 0"],
  ["runs: many", 'x.yaml:1 runs: expected a number, found "many"'],
  ["runs: 1.5", "x.yaml:1 runs: expected a whole number, found 1.5"],
  ["models: a", 'x.yaml:1 models: expected a list, found "a"'],
  ["models:\n  - a\n  - 2", 'x.yaml:3 models[1]: expected text, found a number; write "2"'],
  ["models: [a, b, c]", "x.yaml:1 models: expected a list of at most 2 entries, found a list"],
  ["when: 7", "x.yaml:1 when: expected a date such as 2027-01-31, found 7"],
  ["lasts: 7", "x.yaml:1 lasts: expected a duration such as 7d, found 7"],
  ["when: soon", 'x.yaml:1 when: expected a date such as 2027-01-31, found "soon"'],
  ["\nlimits: {}", "x.yaml:2 limits.of: expected keys with values, found nothing"],
  ["limits:\n  of: {}\n\n  run: 1", "x.yaml:4 limits.run: is an unknown key"],
  ["level: low\nmore:\n  deep: 1", "x.yaml:2 more: is an unknown key"],
  ["limits:\n  off: {}", "x.yaml:2 limits.off: is an unknown key"],
  ["limits:\n  of:\n    x: 1", "x.yaml:3 limits.of.x: expected true or false, found 1"],
  ["- a", "x.yaml : expected keys with values, found a list"],
])("%j is put into words", (text, words) => {
  expect(issueOf(text)).toBe(words);
});

test("values are not repeated where they are not to be", () => {
  const value = { version: "hunter2" };
  const { words } = describeIssue(schema.safeParse(value).error!, value, { quote: false });
  expect(words).toBe("expected text of at most 5 characters, found something else");
});

test.each([
  ["a: 1\na: 2", "x.yaml:2"],
  ["a:\n\tb: 1", "x.yaml:2"],
  ["a: b: c", "x.yaml:1"],
  ["a: [", "x.yaml:1: expected ] to close"],
  ["a: { b: 1\nc: 2", "x.yaml:2: expected } to close"],
  ['a: "b\nc: 2', "x.yaml:2: expected a quote to close"],
  ["a:\n   b: 1\n  c: 2", "x.yaml:3: expected the same indentation"],
  ["a: 1\n---\nb: 2", "x.yaml:"],
  ["a: !!js/function x", "x.yaml:1"],
])("what is no YAML is named by its line: %j", (text, place) => {
  try {
    parseYaml(text, "x.yaml", "CONFIG_INVALID");
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(SignetError);
    expect((error as SignetError).message).toContain(place);
    expect((error as SignetError).message).not.toMatch(/\n|\.$/);
  }
});
