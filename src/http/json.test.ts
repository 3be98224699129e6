import { describe, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { parseJson } from "./json.ts";

const attack = attacksOn("the readers of untrusted bytes");

const parse = (text: string) => parseJson(Buffer.from(text));
const codeOf = (text: string) => {
  try {
    parse(text);
    return "taken";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("JSON from a client", () => {
  test("is what JSON.parse makes of it", () => {
    for (const value of [null, true, 0.5, 'a"\\', [1, [2, []]], { a: { b: ["[{", '\\"'] } }]) {
      expect(parse(JSON.stringify(value))).toEqual(value);
    }
  });

  test("is an empty object where there is none", () => {
    expect(parse("")).toEqual({});
  });

  test("keeps every digit of integers, and makes nothing else of other numbers", () => {
    expect(parse("[9007199254740993, -9223372036854775808, 9007199254740991]")).toEqual([
      9007199254740993n,
      -9223372036854775808n,
      9007199254740991,
    ]);
    expect(parse("[0.12345678901234567, 1e20, 1234567890123456.5]")).toEqual([
      0.12345678901234566, 1e20, 1234567890123456.5,
    ]);
    expect(parse('["9007199254740993"]')).toEqual(["9007199254740993"]);
  });

  test.each(["{", "[1,]", "nul", '"', "[1] [2]", "{'a':1}", "NaN", "\u00ff"])("is not %s", (text) => {
    expect(codeOf(text)).toBe("REQUEST_MALFORMED");
  });

  test("is 16 levels deep at most", attack("nests JSON without an end", "17 levels, a million levels"), () => {
    expect(codeOf("[".repeat(16) + "]".repeat(16))).toBe("taken");
    expect(codeOf("[".repeat(17) + "]".repeat(17))).toBe("REQUEST_MALFORMED");
    expect(codeOf("[".repeat(1_000_000))).toBe("REQUEST_MALFORMED");
    expect(codeOf(`["${"[".repeat(1000)}"]`)).toBe("taken"); // brackets in a text are none
  });

  test(
    "becomes no more than typed contents may",
    attack("sends little JSON that becomes much", "lists, objects, texts, numbers"),
    () => {
      const many = 600_000; // of 8 each is more than 4 Mi
      for (const item of ["[]", "{}", '""', '"\\""']) {
        expect(codeOf(`[${`${item},`.repeat(many)}${item}]`)).toBe("REQUEST_TOO_LARGE");
      }
      expect(codeOf(`[${"0,".repeat(4 * 1024 * 1024)}0]`)).toBe("REQUEST_TOO_LARGE");
      expect(codeOf(`[${"0,".repeat(many)}0]`)).toBe("taken");
    },
  );
});
