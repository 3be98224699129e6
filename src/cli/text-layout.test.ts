import { expect, test } from "vitest";
import { formatFields, formatTable, wrapText } from "./text-layout.ts";

const header = ["SERVICE", "FOUND"];
const rows = [["text-recognizer", "three outputs where the license has two of them"]];

test("a table that fits is in columns", () => {
  expect(formatTable(header, rows, 80).split("\n")).toEqual([
    "SERVICE          FOUND",
    "text-recognizer  three outputs where the license has two of them",
  ]);
});

test("a table that is too wide goes on in its last column", () => {
  expect(formatTable(header, rows, 44).split("\n")).toEqual([
    "SERVICE          FOUND",
    "text-recognizer  three outputs where the",
    "                 license has two of them",
  ]);
});

test("a table that is too wide takes from its widest columns first", () => {
  const wide = [["create with a configuration that is not JSON", "status 3: JSON, byte 1: expected a key"]];
  expect(formatTable(["CHECK", "FOUND"], wide, 60).split("\n").slice(1)).toEqual([
    "create with a configuration    status 3: JSON, byte 1:",
    "that is not JSON               expected a key",
  ]);
});

test("a table whose columns would be too narrow becomes fields", () => {
  expect(formatTable(header, rows, 40).split("\n")).toEqual([
    "service  text-recognizer",
    "found    three outputs where the license",
    "         has two of them",
  ]);
});

test("nothing is wrapped for programs, and no word is ever broken", () => {
  const long = "word ".repeat(100).trim();
  expect(formatFields([["key", long]], Number.POSITIVE_INFINITY)).toBe(`key  ${long}`);
  expect(wrapText("a 0123456789 b", 5)).toEqual(["a", "0123456789", "b"]);
});

test("lines are filled, and those that were there stay", () => {
  expect(wrapText("one two three\nfour", 7)).toEqual(["one two", "three", "four"]);
});

test("fields without a value are left out", () => {
  expect(
    formatFields([
      ["a", 1],
      ["bcd", null],
      ["ef", "x"],
    ]),
  ).toBe("a   1\nef  x");
});
