import { describe, expect, test } from "vitest";
import { type Deadline, Deadlines } from "./deadlines.ts";

interface Entry extends Deadline {
  readonly dueMs: number;
  firedMs: number | null;
}

function entryIn(ms: number, onDeadline: () => void = () => {}): Entry {
  const deadlineMs = performance.now() + ms;
  const entry: Entry = {
    ...{ deadlineMs, dueMs: ms, bucket: -1, previous: null, next: null, firedMs: null },
    onDeadline() {
      entry.firedMs = performance.now();
      onDeadline();
    },
  };
  return entry;
}

describe("deadlines", () => {
  test("come in any order, none early, and those that were removed not at all", async () => {
    const wheel = new Deadlines();
    const entries = [300, 0, 20, 21, 150, 20, -5, 90].map((ms) => entryIn(ms));
    for (const entry of entries) wheel.add(entry);
    const removed = [entryIn(20), entryIn(20), entryIn(60)];
    for (const entry of removed) wheel.add(entry);
    for (const entry of removed) wheel.remove(entry);
    await expect.poll(() => entries.every(({ firedMs }) => firedMs !== null)).toBe(true);
    for (const { firedMs, deadlineMs } of entries) expect(firedMs!).toBeGreaterThanOrEqual(deadlineMs);
    expect(removed.map(({ firedMs }) => firedMs)).toEqual([null, null, null]);
  });

  test("may end each other's calls", async () => {
    const wheel = new Deadlines();
    const last = entryIn(30);
    const entries = Array.from({ length: 10 }, () => entryIn(20, () => wheel.remove(last)));
    for (const entry of [...entries, last]) wheel.add(entry);
    await expect.poll(() => entries.every(({ firedMs }) => firedMs !== null)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(last.firedMs).toBeNull();
  });

  test("beyond one round of the wheel wait for theirs", async () => {
    const wheel = new Deadlines();
    const far = entryIn(5130);
    const near = entryIn(10);
    wheel.add(far);
    wheel.add(near);
    await expect.poll(() => near.firedMs).not.toBeNull();
    expect(far.firedMs).toBeNull();
    await expect.poll(() => far.firedMs).not.toBeNull();
    expect(far.firedMs!).toBeGreaterThanOrEqual(far.deadlineMs);
  });
});
