import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("no npm script waits for a hook, which the ignore-scripts of .npmrc leaves out", () => {
  const { scripts } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const names = Object.keys(scripts);
  expect(names).toContain("test");
  expect(names.filter((name) => /^(pre|post)/.test(name))).toEqual([]);
});
