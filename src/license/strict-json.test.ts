import { expect, test } from "vitest";
import { formatJson, parseStrictJson, StrictJsonError } from "./strict-json.ts";

const documents = [
  "null",
  "true",
  "-0.5e+3",
  '"\\u00e9\\n\\ud83d\\ude00"',
  "[]",
  "{}",
  ' {"a": [1, {"b": null}], "c": "d"} \r\n\t',
  '{"toString": 1, "constructor": {}, "": 0}',
];

test.each(documents)("reads %s as JSON.parse does", (text) => {
  expect(parseStrictJson(text)).toEqual(JSON.parse(text));
  expect(parseStrictJson(Buffer.from(text))).toEqual(JSON.parse(text));
});

test.each([
  ["", "nothing"],
  [" ", "only spaces"],
  ['{"a":1,"a":2}', "a duplicate key"],
  ['{"a":1,"\\u0061":2}', "a duplicate key in disguise"],
  ['{"__proto__":{"admin":true}}', "a key that would change the prototype"],
  ['{"a":1} {}', "a second value"],
  ["{} x", "trailing text"],
  ["[1,]", "a trailing comma"],
  ["{'a':1}", "single quotes"],
  ["{a:1}", "a bare key"],
  ["[01]", "a leading zero"],
  ["[+1]", "a plus sign"],
  ["[1.]", "a dot without digits"],
  ["[0x10]", "a hexadecimal number"],
  ["[NaN]", "NaN"],
  ["[1e999]", "a number beyond a double"],
  ['["\n"]', "a raw control character"],
  ['["\\x41"]', "an unknown escape"],
  ['["\\ud800"]', "an unpaired surrogate"],
  ['["abc', "an unfinished string"],
  ['{"a":1', "an unfinished object"],
  ["[1 2]", "a missing comma"],
  ["\ufeff{}", "a byte order mark"],
  ["// note\n{}", "a comment"],
])("refuses %j: %s", (text) => {
  expect(() => parseStrictJson(text)).toThrow(StrictJsonError);
});

test("bytes that are not UTF-8 are refused", () => {
  expect(() => parseStrictJson(Buffer.from([0x22, 0xc3, 0x28, 0x22]))).toThrow(StrictJsonError);
  // An overlong slash, the classic way around a check of names.
  expect(() => parseStrictJson(Buffer.from([0x22, 0xc0, 0xaf, 0x22]))).toThrow(StrictJsonError);
});

test("nesting stops at the limit, long before the stack", () => {
  expect(parseStrictJson(`${"[".repeat(16)}${"]".repeat(16)}`)).toBeDefined();
  expect(() => parseStrictJson(`${"[".repeat(17)}${"]".repeat(17)}`)).toThrow(StrictJsonError);
  expect(() => parseStrictJson('{"a":'.repeat(200_000))).toThrow(StrictJsonError);
  expect(parseStrictJson("[[1]]", { maxDepth: 2 })).toEqual([[1]]);
  expect(() => parseStrictJson("[[1]]", { maxDepth: 1 })).toThrow(StrictJsonError);
});

test("a long string of escapes is read without trouble", () => {
  const text = "\\u0041".repeat(200_000);
  expect(parseStrictJson(`"${text}"`)).toBe("A".repeat(200_000));
});

test("the same value is always written as the same text", () => {
  expect(formatJson({ b: 1, a: [{ d: 2, c: null }] })).toBe('{"a":[{"c":null,"d":2}],"b":1}');
});
