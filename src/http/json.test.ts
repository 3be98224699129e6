import { expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { parseJson } from "./json.ts";

const attack = attacksOn("calls");

/** An array of ones, and at its end something else. */
function arrayOf(values: number, last: string): Buffer {
  return Buffer.from(`[${"1,".repeat(values - 1)}${last}]`);
}

test("a number that a double cannot hold keeps its digits, among as many others as can be asked for theirs", () => {
  const parsed = parseJson(arrayOf(100_000, "1234567890123456789")) as unknown[];
  expect(parsed).toHaveLength(100_000);
  expect([parsed[0], parsed.at(-1)]).toEqual([1, 1234567890123456789n]);
});

test(
  "one long number does not make every other one slow",
  attack("has the server ask for the digits of four million numbers", "8 MB of ones and one number of 19 digits"),
  () => {
    const values = 4_000_000;
    expect(parseJson(arrayOf(values, "1"))).toHaveLength(values);
    expect(() => parseJson(arrayOf(values, "1234567890123456789"))).toThrow(
      expect.objectContaining({ code: "REQUEST_TOO_LARGE" }),
    );
  },
);
