import { describe, expect, test } from "vitest";
import { codeOf } from "../../test/helpers/code-of.ts";
import { useRandom } from "../../test/helpers/random.ts";
import { elementCount, type Tensor } from "../tensor/index.ts";
import { type Batchable, type BatchLimits, chooseBatch, splitOutputs } from "./batch.ts";
import { inputBytes } from "./input.ts";

const limits: BatchLimits = { maxSize: 8, preferredSizes: [], maxQueueDelayMs: 0 };
const ROOM = 2 ** 20;

function tensor(...shape: number[]): Tensor {
  return { name: "x", datatype: "UINT8", shape, data: new Uint8Array(elementCount(shape)) };
}

function request(shape: number[], more: Partial<Batchable> = {}): Batchable {
  const inputs = [tensor(...shape)];
  return { inputs, bytes: inputBytes(inputs), keepUntilMs: 0, isAlone: false, ...more };
}

/** Which of those that wait run next, by their place, and when. */
function choose(waiting: readonly Batchable[], more: Partial<BatchLimits> = {}, maxBytes = ROOM) {
  const { requests, dueMs } = chooseBatch(waiting, { ...limits, ...more }, maxBytes);
  return { places: requests.map((each) => waiting.indexOf(each)), dueMs };
}

describe("what runs together", () => {
  test("is all that waits, up to the largest batch", () => {
    expect(choose(Array.from({ length: 5 }, () => request([1, 3])))).toEqual({ places: [0, 1, 2, 3, 4], dueMs: 0 });
    expect(choose(Array.from({ length: 9 }, () => request([2, 3]))).places).toEqual([0, 1, 2, 3]);
    expect(choose([])).toMatchObject({ places: [] });
  });

  test("is what is like the first, and what fits no more is passed over", () => {
    expect(choose([request([1, 3]), request([1, 4]), request([3, 3])]).places).toEqual([0, 2]);
    expect(choose([request([6, 3]), request([4, 3]), request([2, 3])]).places).toEqual([0, 2]);
    expect(choose([request([1, 300]), request([1, 300]), request([1, 300])], {}, 700).places).toEqual([0, 1]);
  });

  test("is the first at least, however large it is", () => {
    expect(choose([request([1, 2000]), request([1, 2000])], {}, 100).places).toEqual([0]);
  });

  test("is never what must run alone", () => {
    const alone = request([1, 3], { isAlone: true, keepUntilMs: 50 });
    expect(choose([request([1, 3]), alone, request([1, 3])]).places).toEqual([0, 2]);
    expect(choose([alone, request([1, 3])])).toEqual({ places: [0], dueMs: 0 });
  });
});

describe("a batch that is not full", () => {
  const kept = (items: number, keepUntilMs: number) => request([items, 3], { keepUntilMs });

  test("is kept until the first of its requests has waited enough", () => {
    expect(choose([kept(1, 30), kept(1, 20), kept(1, 40)])).toEqual({ places: [0, 1, 2], dueMs: 20 });
    expect(choose([kept(4, 30), kept(4, 20)])).toEqual({ places: [0, 1], dueMs: 0 });
  });

  test("runs at once in a preferred size, the largest that can be made", () => {
    const preferredSizes = [2, 4];
    expect(choose([kept(1, 30)], { preferredSizes })).toEqual({ places: [0], dueMs: 30 });
    expect(choose([kept(1, 30), kept(1, 30), kept(1, 30)], { preferredSizes })).toEqual({ places: [0, 1], dueMs: 0 });
    expect(choose([kept(1, 30), kept(3, 30), kept(1, 30)], { preferredSizes })).toEqual({ places: [0, 1], dueMs: 0 });
  });
});

test("whatever waits, every request runs once, in batches that keep all limits", () => {
  const random = useRandom();
  for (let round = 0; round < 100; round++) {
    const waiting = Array.from({ length: random.below(40) }, () =>
      request([1 + random.below(8), 1 + random.below(3)], { isAlone: random.chance(0.1) }),
    );
    const preferredSizes = random.pick([[], [4], [2, 3, 8]]);
    const maxBytes = 64 * (1 + random.below(20));
    const left = new Set(waiting);
    while (left.size > 0) {
      const [first] = left;
      const { requests } = chooseBatch(left, { ...limits, preferredSizes }, maxBytes);
      expect(requests[0]).toBe(first);
      const items = requests.map(({ inputs }) => inputs[0]!.shape[0]!);
      expect(items.reduce((sum, each) => sum + each)).toBeLessThanOrEqual(8);
      if (requests.length > 1) {
        expect(requests.some(({ isAlone }) => isAlone)).toBe(false);
        expect(new Set(requests.map(({ inputs }) => inputs[0]!.shape[1])).size).toBe(1);
        expect(requests.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(maxBytes);
      }
      for (const each of requests) expect(left.delete(each)).toBe(true);
    }
  }
});

describe("outputs", () => {
  test("are cut apart for each request", () => {
    const output = { ...tensor(3, 2), data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    const [first, second] = splitOutputs("s", [output], [request([1]), request([2])]);
    expect(first).toMatchObject([{ shape: [1, 2], data: Uint8Array.of(1, 2) }]);
    expect(second).toMatchObject([{ shape: [2, 2], data: Uint8Array.of(3, 4, 5, 6) }]);
  });

  test.each([1, 2])("of another number of items than went in are the plugin's fault, of %i requests", (requests) => {
    const asked = Array.from({ length: requests }, () => request([2]));
    expect(codeOf(() => splitOutputs("s", [tensor(3, 2)], asked))).toBe("PLUGIN_FAILED");
  });
});
