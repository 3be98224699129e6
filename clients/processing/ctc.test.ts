import { expect, test } from "vitest";
import { decodeGreedyCtc } from "./ctc.ts";

const characters = ["a", "b", " "];

/** One step for each class given: that class gets `probability`, the others share the rest. */
function steps(classes: readonly number[], probability = 0.9): Float32Array {
  return Float32Array.from(
    classes.flatMap((best) => [0, 1, 2, 3].map((index) => (index === best ? probability : (1 - probability) / 3))),
  );
}

test.each([
  ["repetitions are one character", [1, 1, 1, 2, 2], "ab"],
  ["a blank between equals keeps both", [1, 0, 1], "aa"],
  ["a blank between unequals changes nothing", [1, 0, 2], "ab"],
  ["the last class is the space", [1, 3, 2], "a b"],
  ["blanks alone say nothing", [0, 0, 0], ""],
  ["no steps say nothing", [], ""],
])("%s", (_, classes, text) => {
  expect(decodeGreedyCtc(steps(classes), characters).text).toBe(text);
});

test("the confidence is the mean of the characters' first steps, whatever the blanks are", () => {
  const probabilities = Float32Array.from([...steps([0], 0.5), ...steps([1], 0.8), ...steps([2], 0.6)]);
  expect(decodeGreedyCtc(probabilities, characters).confidence).toBeCloseTo(0.7);
  expect(decodeGreedyCtc(steps([0, 0], 0.99), characters).confidence).toBe(0);
});
