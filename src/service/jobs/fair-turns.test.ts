import { describe, expect, test } from "vitest";
import { FairTurns } from "./fair-turns.ts";

/** Actions that end when they are told to, and the order in which they began. */
function createActions(turns: FairTurns) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const ask = (who: string, name: string) =>
    turns.run(who, () => {
      begun.push(name);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    });
  return { begun, ask, end: (name: string) => ends.get(name)!() };
}

describe("turns", () => {
  test("go around among those who ask, however much each asks", async () => {
    const { begun, ask, end } = createActions(new FairTurns(2));
    const all = ["a1", "a2", "a3", "a4", "a5"].map((name) => ask("a", name));
    all.push(ask("b", "b1"), ask("c", "c1"));
    expect(begun).toEqual(["a1", "a2"]);
    for (const name of ["a1", "a2", "a3", "b1", "c1", "a4", "a5"]) {
      end(name);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(all)).toEqual(["a1", "a2", "a3", "a4", "a5", "b1", "c1"]);
    expect(begun).toEqual(["a1", "a2", "a3", "b1", "c1", "a4", "a5"]);
  });

  test("go on after an action that failed", async () => {
    const turns = new FairTurns(1);
    const failed = turns.run("a", () => Promise.reject(new Error("no")));
    const next = turns.run("a", async () => "next");
    await expect(failed).rejects.toThrow("no");
    expect(await next).toBe("next");
  });
});
