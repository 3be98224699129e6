import { describe, expect, test } from "vitest";
import { type Datatype, datatypes } from "./datatype.ts";
import { tensorFromJson, tensorToJson } from "./json.ts";

const codeOf = (datatype: string, data: unknown[], shape = [data.length]) => {
  try {
    tensorFromJson({ name: "t", datatype, shape, data });
    return "taken";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("a tensor in JSON", () => {
  test.each<[Datatype, unknown[]]>([
    ["BOOL", [true, false]],
    ["UINT8", [0, 255]],
    ["UINT16", [0, 65_535]],
    ["UINT32", [0, 4_294_967_295]],
    ["UINT64", [0, 2 ** 53 - 1, "18446744073709551615"]],
    ["INT8", [-128, 127]],
    ["INT16", [-32_768, 32_767]],
    ["INT32", [-2_147_483_648, 2_147_483_647]],
    ["INT64", ["-9223372036854775808", -1, "9223372036854775807"]],
    ["FP32", [0.5, -1.5, "NaN", "Infinity", "-Infinity"]],
    ["FP64", [Number.MAX_VALUE, Number.MIN_VALUE, "NaN"]],
    ["BYTES", ["", "naïve", "\u0000"]],
  ])("of %s comes back as it went", (datatype, data) => {
    const tensor = tensorFromJson({ name: "t", datatype, shape: [data.length], data });
    expect(tensorToJson(tensor)).toEqual({ name: "t", datatype, shape: [data.length], data });
    const base64 = Buffer.from(tensor.data).toString("base64");
    expect(tensorFromJson({ name: "t", datatype, shape: [data.length], base64 }).data).toEqual(
      Buffer.from(tensor.data),
    );
  });

  test.each([["FP16"], ["BF16"]])("of %s has no elements and is base64", (datatype) => {
    expect(codeOf(datatype, [1])).toBe("REQUEST_MALFORMED");
    const given = { name: "t", datatype, shape: [1], base64: "ADw=" };
    expect(tensorToJson(tensorFromJson(given))).toEqual(given);
  });

  test("of bytes that are no text is base64", () => {
    const data = Buffer.of(1, 0, 0, 0, 0xff);
    expect(tensorToJson({ name: "t", datatype: "BYTES", shape: [1], data })).toMatchObject({ base64: "AQAAAP8=" });
  });

  test.each<[string, unknown]>([
    ["BOOL", 2],
    ["BOOL", "yes"],
    ["UINT8", 256],
    ["UINT8", 0.5],
    ["INT8", -129],
    ["INT64", 2 ** 53],
    ["INT64", "9223372036854775808"],
    ["INT64", "0x10"],
    ["INT64", ""],
    ["UINT64", -1],
    ["FP32", "1"],
    ["FP32", null],
    ["FP32", []],
    ["FP32", { a: 2n ** 60n }],
    ["BYTES", {}],
    ["BYTES", null],
  ])("of %s has no element of another kind (%#)", (datatype, element) => {
    expect(codeOf(datatype, [element], [1])).toBe("REQUEST_MALFORMED");
  });

  test("has as many elements as its shape says, and a datatype of the protocol", () => {
    expect(codeOf("UINT8", [1, 2], [3])).toBe("REQUEST_MALFORMED");
    expect(codeOf("FP31", [1])).toBe("REQUEST_MALFORMED");
    expect(Object.keys(datatypes)).toContain("FP32");
  });

  test("takes 64-bit integers as bigint too", () => {
    const { data } = tensorFromJson({ name: "t", datatype: "INT64", shape: [1], data: [2n ** 63n - 1n] });
    expect(Buffer.from(data).readBigInt64LE()).toBe(2n ** 63n - 1n);
  });
});
