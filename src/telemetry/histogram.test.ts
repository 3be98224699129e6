import { expect, test } from "vitest";
import { Random } from "../../test/helpers/seeded-random.ts";
import { Histogram, INDEX_OFFSET, SCHEMA, ZERO_THRESHOLD_SECONDS } from "./histogram.ts";

/** The bucket that one duration went to; undefined for the zero bucket. */
function bucketOf(ms: number): number | undefined {
  const histogram = new Histogram();
  histogram.record(ms);
  expect(histogram.counts.reduce((sum, count) => sum + count)).toBe(1);
  const place = histogram.counts.indexOf(1);
  return place === 0 ? undefined : place + INDEX_OFFSET;
}

test("every duration is in the bucket that Prometheus' definition gives it", () => {
  const random = new Random(1);
  for (let tries = 0; tries < 20_000; tries++) {
    const seconds = 2 ** random.between(-19.5, 16.5);
    const index = bucketOf(seconds * 1000)!;
    const rounded = (seconds * 1000) / 1000;
    expect(rounded).toBeGreaterThan(2 ** ((index - 1) / 2 ** SCHEMA));
    expect(rounded).toBeLessThanOrEqual(2 ** (index / 2 ** SCHEMA));
  }
});

test("a duration on a bound is in the bucket below it", () => {
  for (const exponent of [-19, -10, -1, 0, 1, 10, 16]) {
    expect(bucketOf(2 ** exponent * 1000)).toBe(exponent * 2 ** SCHEMA);
  }
});

test("what took no time, or no sensible one, is in the zero bucket, and what took ages in the last", () => {
  for (const ms of [0, -1, Number.NaN, ZERO_THRESHOLD_SECONDS * 1000]) expect(bucketOf(ms)).toBe(undefined);
  expect(bucketOf(1e9)).toBe(17 * 2 ** SCHEMA);
  expect(bucketOf(Number.POSITIVE_INFINITY)).toBe(17 * 2 ** SCHEMA);
});

test("count and sum are those of what was recorded", () => {
  const histogram = new Histogram();
  for (const ms of [1, 2.5, 0.25, Number.NaN, -1]) histogram.record(ms);
  expect([histogram.count, histogram.ns]).toEqual([5, 3_750_000]);
});
