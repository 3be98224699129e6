import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Slots } from "./index.ts";

/** Memory of this process that is shared, KiB: what was touched of the slots, among others. */
function sharedKiB(): number {
  return Number(/^RssShmem:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]);
}

test("released slots give their memory back, and a view on them reads zeros instead of ending the process", () => {
  const slots = Slots.create({ count: 2, bytes: 32 << 20, inputs: 1, outputs: 1 });
  const before = sharedKiB();
  for (const slot of [0, 1]) slots.data(slot).fill(7);
  expect(sharedKiB() - before).toBeGreaterThanOrEqual(60 << 10);
  slots.release();
  expect(sharedKiB() - before).toBeLessThan(4 << 10);
  expect(slots.data(1)[1_000_000]).toBe(0);
});
