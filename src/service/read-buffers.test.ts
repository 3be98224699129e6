import { expect, test } from "vitest";
import { ReadBuffers } from "./read-buffers.ts";

const KiB = 1024;

test("a buffer that was given back is used again for what fits it well", () => {
  const buffers = new ReadBuffers();
  const used = buffers.take(600 * KiB);
  buffers.give(used);
  expect(buffers.take(200 * KiB) === used).toBe(false);
  expect(buffers.take(601 * KiB) === used).toBe(false);
  expect(buffers.take(500 * KiB) === used).toBe(true);
});

test("a buffer is never in use twice", () => {
  const buffers = new ReadBuffers();
  const used = buffers.take(64 * KiB);
  buffers.give(used);
  expect(buffers.take(64 * KiB) === used).toBe(true);
  expect(buffers.take(64 * KiB) === used).toBe(false);
});

test("no more is kept than 64 MiB, and what was used last", () => {
  const buffers = new ReadBuffers();
  const [first, second, third] = [30, 30, 30].map((size) => buffers.take(size * KiB * KiB));
  for (const buffer of [first!, second!, third!]) buffers.give(buffer);
  expect(buffers.take(30 * KiB * KiB) === third).toBe(true);
  expect(buffers.take(30 * KiB * KiB) === second).toBe(true);
  expect(buffers.take(30 * KiB * KiB) === first).toBe(false);
});
