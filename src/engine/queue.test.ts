import { describe, expect, test } from "vitest";
import { useRandom } from "../../test/helpers/random.ts";
import { Queue } from "./queue.ts";

interface Item {
  readonly priority: number;
  readonly arrival: number;
}

describe("the queue", () => {
  test("gives the smallest priority first, and the earliest of equals", () => {
    const queue = new Queue<Item>(10);
    for (const [arrival, priority] of [3, 1, 3, 0, 1].entries()) queue.push({ priority, arrival });
    const order = queue.clear().map(({ priority, arrival }) => [priority, arrival]);
    expect(order).toEqual([
      [0, 3],
      [1, 1],
      [1, 4],
      [3, 0],
      [3, 2],
    ]);
  });

  test("is full at its limit, and no longer once something has left", () => {
    const queue = new Queue<Item>(2);
    const first = { priority: 0, arrival: 0 };
    queue.push(first);
    expect(queue.isFull).toBe(false);
    queue.push({ priority: 0, arrival: 1 });
    expect(queue.isFull).toBe(true);
    expect(queue.remove(first)).toBe(true);
    expect(queue.isFull).toBe(false);
  });

  test("with a limit of 0 is always full", () => {
    expect(new Queue<Item>(0).isFull).toBe(true);
  });

  test("removes an item once, and nothing but that item", () => {
    const queue = new Queue<Item>(10);
    const twins = [
      { priority: 1, arrival: 0 },
      { priority: 1, arrival: 0 },
    ];
    for (const twin of twins) queue.push(twin);
    expect(queue.remove(twins[1]!)).toBe(true);
    expect(queue.remove(twins[1]!)).toBe(false);
    expect(queue.shift()).toBe(twins[0]);
    expect(queue.shift()).toBeUndefined();
  });

  test("is empty after clear, which returns what was left in order", () => {
    const queue = new Queue<Item>(10);
    queue.push({ priority: 2, arrival: 0 });
    queue.push({ priority: 1, arrival: 1 });
    expect(queue.clear().map(({ arrival }) => arrival)).toEqual([1, 0]);
    expect(queue.length).toBe(0);
    expect(queue.clear()).toEqual([]);
  });

  test("behaves like a sorted list under any sequence of calls", () => {
    const random = useRandom();
    const queue = new Queue<Item>(64);
    let model: Item[] = [];
    for (let arrival = 0; arrival < 5000; arrival++) {
      const action = random.below(10);
      if (action < 5 && !queue.isFull) {
        const item = { priority: random.below(4) - 1, arrival };
        queue.push(item);
        model.push(item);
        model.sort((a, b) => a.priority - b.priority || a.arrival - b.arrival);
      } else if (action < 8) {
        expect(queue.shift()).toBe(model.shift());
      } else if (action < 9) {
        const item = model[random.below(model.length + 1)] ?? { priority: 0, arrival };
        expect(queue.remove(item)).toBe(model.includes(item));
        model = model.filter((other) => other !== item);
      } else if (random.below(20) === 0) {
        expect(queue.clear()).toEqual(model);
        model = [];
      }
      expect(queue.length).toBe(model.length);
      expect(queue.isFull).toBe(model.length >= 64);
    }
  });
});
