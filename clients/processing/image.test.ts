import { expect, test } from "vitest";
import { type RgbImage, resizeBilinear, rotate180 } from "./index.ts";

function grayImage(rows: number[][]): RgbImage {
  const data = Uint8Array.from(rows.flat().flatMap((value) => [value, value, value]));
  return { width: rows[0]!.length, height: rows.length, data };
}

function grayRows(image: RgbImage): number[][] {
  return Array.from({ length: image.height }, (_, y) =>
    Array.from({ length: image.width }, (_, x) => image.data[(y * image.width + x) * 3]!),
  );
}

test("an enlarged image is interpolated between pixel centers", () => {
  expect(grayRows(resizeBilinear(grayImage([[0, 100]]), 4, 1))).toEqual([[0, 25, 75, 100]]);
  expect(grayRows(resizeBilinear(grayImage([[0], [100]]), 1, 4))).toEqual([[0], [25], [75], [100]]);
});

test("a reduced image keeps strokes that lie between the sampled pixels", () => {
  const stroke = Array.from({ length: 80 }, (_, x) => (x === 37 ? 0 : 255));
  const reduced = grayRows(resizeBilinear(grayImage([stroke]), 10, 1))[0]!;
  expect(Math.min(...reduced)).toBeLessThan(240);
  expect(reduced.filter((value) => value === 255).length).toBeGreaterThanOrEqual(7);
});

test("an even image stays even at any size", () => {
  const even = grayImage(Array.from({ length: 13 }, () => Array.from({ length: 29 }, () => 201)));
  for (const [width, height] of [
    [1, 1],
    [7, 40],
    [100, 3],
    [29, 13],
  ] as const) {
    const resized = resizeBilinear(even, width, height);
    expect(resized.data.length).toBe(width * height * 3);
    expect(new Set(resized.data)).toEqual(new Set([201]));
  }
});

test("the three colors do not mix", () => {
  const image = { width: 2, height: 1, data: Uint8Array.from([255, 0, 10, 255, 0, 30]) };
  expect([...resizeBilinear(image, 1, 1).data]).toEqual([255, 0, 20]);
});

test("an image turned by 180 degrees starts with its last pixel, and twice is itself", () => {
  const image = { width: 2, height: 2, data: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) };
  expect([...rotate180(image).data]).toEqual([10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3]);
  expect(rotate180(rotate180(image))).toEqual(image);
});

test.each([
  ["no width", { width: 0, height: 10, data: new Uint8Array(0) }],
  ["no height", { width: 10, height: 0, data: new Uint8Array(0) }],
  ["a negative size", { width: -2, height: -2, data: new Uint8Array(12) }],
  ["a fractional size", { width: 1.5, height: 2, data: new Uint8Array(9) }],
  ["a size that is not a number", { width: Number.NaN, height: 1, data: new Uint8Array(3) }],
  ["too few bytes", { width: 2, height: 2, data: new Uint8Array(11) }],
  ["a fourth channel", { width: 2, height: 2, data: new Uint8Array(16) }],
])("an image with %s is refused", (_, image) => {
  expect(() => rotate180(image)).toThrow(expect.objectContaining({ code: "IMAGE_INVALID" }));
  expect(() => resizeBilinear(image, 4, 4)).toThrow(expect.objectContaining({ code: "IMAGE_INVALID" }));
});

test.each([
  [0, 1],
  [1, 0],
  [2.5, 1],
  [Number.POSITIVE_INFINITY, 1],
])("a target size of %d x %d is refused", (width, height) => {
  expect(() => resizeBilinear(grayImage([[1]]), width, height)).toThrow(
    expect.objectContaining({ code: "OPTIONS_INVALID" }),
  );
});
