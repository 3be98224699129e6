import { expect, test } from "vitest";
import { decodeBytesElements } from "./bytes-elements.ts";
import { classify, classifyItems } from "./classify.ts";
import type { Datatype } from "./datatype.ts";

function classes(datatype: Datatype, elements: ArrayBufferView, count: number, labels: string[] = []): string[] {
  // Behind an odd offset, as a view of a message is.
  const whole = new Uint8Array(elements.byteLength + 1);
  whole.set(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength), 1);
  const shape = [1, elements.byteLength];
  const tensor = classify({ name: "y", datatype, shape, data: whole.subarray(1) }, count, labels);
  const texts = decodeBytesElements(tensor.data).map((bytes) => Buffer.from(bytes).toString());
  expect(tensor).toMatchObject({ name: "y", datatype: "BYTES", shape: [texts.length] });
  return texts;
}

test("the largest come first, as value, index and label", () => {
  const scores = new Float32Array([0.1, 0.75, -3, 0.5]);
  expect(classes("FP32", scores, 3)).toEqual(["0.750000:1", "0.500000:3", "0.100000:0"]);
  expect(classes("FP32", scores, 2, ["cat", "dog"])).toEqual(["0.750000:1:dog", "0.500000:3"]);
  expect(classes("INT64", new BigInt64Array([-5n, 2n ** 62n]), 2)).toEqual(["4611686018427387904:1", "-5:0"]);
});

test("equal ones keep their order, what is no number is last, and there are no more than there are", () => {
  expect(classes("FP64", new Float64Array([1, Number.NaN, 1, Infinity]), 9)).toEqual([
    ...["Infinity:3", "1.000000:0", "1.000000:2", "NaN:1"],
  ]);
  expect(classes("UINT8", new Uint8Array(0), 1)).toEqual([]);
});

test("are those that sorting everything finds", () => {
  const values = Int32Array.from({ length: 5000 }, (_, index) => Math.imul(index + 1, 0x9e3779b1) % 100);
  for (const count of [1, 2, 17, 4999]) {
    const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b).slice(0, count);
    expect(classes("INT32", values, count)).toEqual(sorted.map((index) => `${values[index]}:${index}`));
  }
});

test("each item of a batch has its own", () => {
  const data = new Uint8Array(new Float32Array([1, 2, 3, 6, 5, 4]).buffer);
  const tensor = classifyItems({ name: "y", datatype: "FP32", shape: [2, 3], data }, 2, ["cat"]);
  const texts = decodeBytesElements(tensor.data).map((bytes) => Buffer.from(bytes).toString());
  expect(tensor).toMatchObject({ name: "y", datatype: "BYTES", shape: [2, 2] });
  expect(texts).toEqual(["3.000000:2", "2.000000:1", "6.000000:0:cat", "5.000000:1"]);
});

test.each<Datatype>(["FP16", "BF16", "BYTES", "BOOL"])("of %s there are none", (datatype) => {
  expect(() => classes(datatype, new Uint8Array(4), 1)).toThrow(expect.objectContaining({ code: "REQUEST_MALFORMED" }));
});
