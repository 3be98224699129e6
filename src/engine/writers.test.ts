import { expect, test } from "vitest";
import { Writers } from "./writers.ts";

const job = (...ids: string[]) => ({ ids });

test("a line is of the one job that runs", () => {
  expect(new Writers().since(0, [job("a")], 1000)).toEqual(["a"]);
});

test("a line is of every job that runs, and of all members of a batch", () => {
  expect(new Writers().since(0, [job("a", "b"), job("c")], 1000)).toEqual(["a", "b", "c"]);
});

test("what was printed right before a job's end is still its own, and nobody's where that is long ago", () => {
  const writers = new Writers();
  writers.ended(job("a"), 1000);
  expect(writers.since(990, [], 1001)).toEqual(["a"]);
  expect(writers.since(990, [job("b")], 1001)).toEqual(["a", "b"]);
  expect(writers.since(0, [], 2000)).toEqual([]);
});

test("a job that had ended when there was nothing left to read has written nothing of what came later", () => {
  const writers = new Writers();
  writers.ended(job("a"), 1000);
  expect(writers.since(1001, [job("b")], 1002)).toEqual(["b"]);
});

test("a job that ended in a process that prints stays a writer until the event loop has looked, and no longer", async () => {
  const writers = new Writers();
  writers.since(0, [], 1000);
  writers.ended(job("a"), 1001);
  expect(writers.since(990, [], 1900)).toEqual(["a"]);
  writers.ended(job("b"), 1901);
  await new Promise((resolve) => setImmediate(resolve));
  expect(writers.since(990, [], 1902)).toEqual(["b"]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(writers.since(990, [], 1903)).toEqual([]);
});

test("no more jobs are remembered than can be named", () => {
  const writers = new Writers();
  for (let number = 0; number < 1000; number++) writers.ended(job(`${number}`), 1000);
  expect(writers.since(990, [], 1001)).toHaveLength(16);
});
