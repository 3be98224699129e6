import { describe, expect, test } from "vitest";
import { enforcedLimits, isOver, licenseTimeAt } from "./enforcement.ts";
import { type Usage, warningsOf } from "./license-warnings.ts";
import type { Enforcement, License, Limits } from "./schema.ts";

const DAY_MS = 86_400_000;
const endMs = Date.parse("2027-03-01T00:00:00Z");
const noLimits: Limits = {
  runs: null,
  runTimeMs: null,
  jobTimeMs: null,
  concurrency: 1,
  notBefore: null,
  expires: null,
};

function licenseWith(limits: Partial<Limits> = {}, enforcement: Enforcement = "strict"): License {
  const service = { name: "ocr", version: "1", files: [], limits: { ...noLimits, ...limits } };
  // Only what warnings are made of.
  return {
    expires: new Date(endMs).toISOString(),
    graceDays: 10,
    enforcement,
    services: [service],
  } as unknown as License;
}

function keysAt(daysBeforeEnd: number, license = licenseWith(), usage: Usage | null = null): string[] {
  return warningsOf(license, endMs - daysBeforeEnd * DAY_MS, () => usage).map(({ key }) => key);
}

describe("the end of a license", () => {
  test("is warned of from 30 days on, anew at 14, 7 and 1, and each threshold is one warning", () => {
    expect(keysAt(30.1)).toEqual([]);
    const keys = [29.9, 20, 14, 13.9, 7.1, 6.9, 2, 0.9, 0.01].map((days) => keysAt(days)[0]);
    expect([...new Set(keys)]).toEqual([30, 14, 7, 1].map((days) => `the license ends ${days}`));
    expect(keysAt(14)).toEqual(["the license ends 30"]);
    expect(keysAt(13.95)).toEqual(["the license ends 14"]);
  });

  test("is warned of once a day in its grace and after it", () => {
    expect(keysAt(-0.1)).toEqual(["the license grace 0"]);
    expect(keysAt(-1.1)).toEqual(["the license grace 1"]);
    expect(keysAt(-10.5)).toEqual(["the license expired 10"]);
  });

  test("of one service is warned of where it is earlier than the license's", () => {
    const earlier = new Date(endMs - 40 * DAY_MS).toISOString();
    expect(keysAt(45, licenseWith({ expires: earlier }))).toEqual(["ocr ends 7"]);
    expect(keysAt(45, licenseWith({ expires: new Date(endMs + DAY_MS).toISOString() }))).toEqual([]);
  });

  test("refuses after the days of grace, and never where it is advisory", () => {
    const at = (days: number) => licenseTimeAt(endMs + days * DAY_MS, endMs, 10);
    expect([at(-1), at(0), at(9.5), at(10)]).toEqual([
      { phase: "valid", daysLeft: 1 },
      { phase: "grace", daysLeft: 10 },
      { phase: "grace", daysLeft: 0 },
      { phase: "expired", daysLeft: 0 },
    ]);
    const modes = ["strict", "grace", "advisory"] as const;
    expect(modes.map((mode) => isOver(at(9.9), mode))).toEqual([false, false, false]);
    expect(modes.map((mode) => isOver(at(10), mode))).toEqual([true, true, false]);
    expect(isOver(licenseTimeAt(endMs, endMs, 0), "grace")).toBe(true);
  });
});

describe("runs and run time", () => {
  test("are warned of below 10 percent and below 1 percent, and when they are used", () => {
    const left = (runs: number) => keysAt(100, licenseWith({ runs: 1000 }), { runs: 1000 - runs, runTimeMs: 0 });
    expect(left(100)).toEqual([]);
    expect(left(99)).toEqual(["ocr runs 10"]);
    expect(left(10)).toEqual(["ocr runs 10"]);
    expect(left(9)).toEqual(["ocr runs 1"]);
    expect(left(0)).toEqual(["ocr runs used"]);
    expect(left(-5)).toEqual(["ocr runs used and more"]);
    expect(keysAt(100, licenseWith({ runTimeMs: 1000 }), { runs: 7, runTimeMs: 995 })).toEqual(["ocr run time 1"]);
  });

  test("without a limit, or with a ledger that cannot be read, give no warning", () => {
    expect(keysAt(100, licenseWith(), { runs: 10 ** 9, runTimeMs: 10 ** 12 })).toEqual([]);
    expect(keysAt(100, licenseWith({ runs: 1 }), null)).toEqual([]);
  });

  test("may be 5 percent over in grace, any number where the license is advisory, and unlimited stays unlimited", () => {
    const limits = { ...noLimits, runs: 1000, runTimeMs: 30 };
    expect(enforcedLimits(limits, "strict")).toEqual(limits);
    expect(enforcedLimits(limits, "grace")).toEqual({ ...limits, runs: 1050, runTimeMs: 31 });
    expect(enforcedLimits(limits, "advisory").runs).toBeGreaterThan(10 ** 15);
    expect(enforcedLimits(noLimits, "advisory")).toEqual(noLimits);
  });
});
