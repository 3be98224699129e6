import { expect, test } from "vitest";
import { countBytesElements, decodeBytesElements, encodeBytesElements } from "./bytes-elements.ts";

test("elements survive the way out and back, empty ones too", () => {
  const elements = [Buffer.from("héllo"), Buffer.alloc(0), Buffer.from([0, 255]), Buffer.alloc(300, 7)];
  const data = encodeBytesElements(elements);
  expect(data.length).toBe(4 * 4 + 6 + 0 + 2 + 300);
  expect(countBytesElements(data)).toBe(4);
  expect(decodeBytesElements(data).map((element) => Buffer.from(element))).toEqual(elements);
});

test("an element is a little-endian length and its bytes", () => {
  expect([...encodeBytesElements([Buffer.from("ab")])]).toEqual([2, 0, 0, 0, 97, 98]);
});

test("elements are views of the data at any offset in its buffer", () => {
  const whole = new Uint8Array([9, 9, 9, ...encodeBytesElements([Buffer.from("x")])]);
  const [element] = decodeBytesElements(whole.subarray(3));
  expect(element!.buffer).toBe(whole.buffer);
  expect([...element!]).toEqual([120]);
});

test.each([[[1]], [[1, 0, 0, 0]], [[0, 0, 0, 0, 1]], [[255, 255, 255, 255, 0]]])("%j is refused", (bytes) => {
  expect(() => decodeBytesElements(Uint8Array.from(bytes))).toThrow(
    expect.objectContaining({ code: "REQUEST_MALFORMED" }),
  );
});
