import { describe, expect, test } from "vitest";
import { cells } from "../../bench/cells.ts";
import { verdictOf } from "../../bench/result.ts";

describe("the benchmark", () => {
  test("compares only servers that it measures", () => {
    const strangers = cells.flatMap(({ name, servers, quick, bounds }) => {
      const measured = servers.map((server) => server.name);
      const compared = [...quick.map((server) => server.name), ...bounds.flatMap(({ server, peer }) => [server, peer])];
      return compared.filter((server) => !measured.includes(server)).map((server) => `${name}: ${server}`);
    });
    expect(cells.length).toBeGreaterThan(10);
    expect(strangers).toEqual([]);
  });

  test("names each measurement once, for --only", () => {
    expect(new Set(cells.map(({ name }) => name)).size).toBe(cells.length);
  });

  test.each([
    ["cpu", 1.2, 0.8, 0.8, "aim met"],
    ["cpu", 1.2, 0.8, 1.2, "met"],
    ["cpu", 1.2, 0.8, 1.21, "MISSED"],
    ["cpu", null, 1, 5, "measured"],
    ["rate", 3, 4, 4, "aim met"],
    ["rate", 3, 4, 3.9, "met"],
    ["rate", 3, 4, 2.9, "MISSED"],
  ] as const)("judges %s with a must of %s and an aim of %s: %s is %s", (figure, must, aim, ratio, verdict) => {
    expect(verdictOf({ server: "a", peer: "b", figure, must, aim, ratio })).toBe(verdict);
  });
});
