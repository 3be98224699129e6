import { expect, test } from "vitest";
import { parseDuration } from "./parse-duration.ts";

test.each([
  ["500ms", 500],
  ["30s", 30_000],
  ["10m", 600_000],
  ["2h", 7_200_000],
  ["7d", 604_800_000],
  ["10", null],
  ["0s", null],
  ["1.5s", null],
  ["-1s", null],
  ["1 s", null],
  ["999999999999d", null],
])("%s is %d ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});
