import { expect, test } from "vitest";
import { formatDuration } from "./format-duration.ts";

test.each([
  [0, "0 s"],
  [0.4, "0 s"],
  [1, "1 ms"],
  [1500, "1 s 500 ms"],
  [60_000, "1 min"],
  [36_000_000, "10 h"],
  [35_999_999, "9 h 59 min"],
  [90 * 86_400_000 + 1, "90 d"],
])("%d ms is %s", (durationMs, text) => {
  expect(formatDuration(durationMs)).toBe(text);
});
