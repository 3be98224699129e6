import { describe, expect, test } from "vitest";
import { useRandom } from "../../test/helpers/random.ts";
import { Queue } from "./queue.ts";

interface Item {
  readonly priority: number;
  readonly arrival: number;
  readonly isDelayed: boolean;
}

const item = (priority: number, arrival = 0, isDelayed = false): Item => ({ priority, arrival, isDelayed });

describe("the queue", () => {
  test("gives the smallest priority first, and the earliest of equals", () => {
    const queue = new Queue<Item>();
    for (const [arrival, priority] of [3, 1, 3, 0, 1].entries()) queue.push(item(priority, arrival));
    const order = queue.clear().map(({ priority, arrival }) => [priority, arrival]);
    expect(order).toEqual([
      [0, 3],
      [1, 1],
      [1, 4],
      [3, 0],
      [3, 2],
    ]);
  });

  test("removes an item once, and nothing but that item", () => {
    const queue = new Queue<Item>();
    const twins = [item(1), item(1)];
    for (const twin of twins) queue.push(twin);
    expect(queue.remove(twins[1]!)).toBe(true);
    expect(queue.remove(twins[1]!)).toBe(false);
    expect(queue.shift()).toBe(twins[0]);
    expect(queue.shift()).toBeUndefined();
  });

  test("is empty after clear, which returns what was left in order", () => {
    const queue = new Queue<Item>();
    queue.push(item(2, 0));
    queue.push(item(1, 1));
    expect(queue.clear().map(({ arrival }) => arrival)).toEqual([1, 0]);
    expect(queue.length).toBe(0);
    expect(queue.clear()).toEqual([]);
  });

  test("behaves like a sorted list under any sequence of calls", () => {
    const random = useRandom();
    const queue = new Queue<Item>();
    let model: Item[] = [];
    for (let arrival = 0; arrival < 5000; arrival++) {
      const action = random.below(10);
      if (action < 5 && queue.length < 64) {
        const added = item(random.below(4) - 1, arrival, random.chance(0.2));
        queue.push(added);
        model.push(added);
        model.sort(
          (a, b) => a.priority - b.priority || Number(a.isDelayed) - Number(b.isDelayed) || a.arrival - b.arrival,
        );
      } else if (action < 8) {
        expect(queue.peek()).toBe(model[0]);
        expect(queue.shift()).toBe(model.shift());
      } else if (action < 9) {
        const removed = model[random.below(model.length + 1)] ?? item(0, arrival);
        expect(queue.remove(removed)).toBe(model.includes(removed));
        model = model.filter((other) => other !== removed);
      } else if (random.chance(0.2)) {
        const removed = model.filter(() => random.chance(0.3));
        queue.removeAll(removed);
        model = model.filter((other) => !removed.includes(other));
      } else if (random.below(20) === 0) {
        expect(queue.clear()).toEqual(model);
        model = [];
      }
      expect([...queue]).toEqual(model);
      const priority = random.below(4) - 1;
      expect(queue.lengthOf(priority)).toBe(model.filter((other) => other.priority === priority).length);
    }
  });

  test("has what is put back before all of its priority", () => {
    const queue = new Queue<Item>();
    for (const added of [item(1, 1), item(1, 2), item(2, 3)]) queue.push(added);
    queue.putBack(item(1, 0));
    queue.putBack(item(3, 4));
    expect([...queue].map(({ arrival }) => arrival)).toEqual([0, 1, 2, 3, 4]);
  });
});
