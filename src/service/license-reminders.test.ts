import { expect, test } from "vitest";
import type { Ledger, License } from "../license/index.ts";
import type { Log } from "../telemetry/index.ts";
import { LicenseReminders } from "./license-reminders.ts";

const DAY_MS = 86_400_000;

test("each threshold is said once, a renewed license starts anew", () => {
  const limits = { runs: 100, runTimeMs: null, expires: null };
  const expires = new Date(100 * DAY_MS).toISOString();
  const license = { licenseId: "x", expires, graceDays: 0, enforcement: "strict", services: [{ name: "ocr", limits }] };
  const now = { nowMs: 0, used: 0 };
  const said: string[] = [];
  const ledger = {
    get nowMs() {
      return now.nowMs;
    },
    totals: () => ({ runs: now.used, runTimeMs: 0, inFlight: 0 }),
  } as unknown as Ledger;
  const log = { warn: (_: object, message: string) => said.push(message) } as unknown as Log;
  const reminders = new LicenseReminders(ledger, log);
  const check = (day: number, used: number, of: object = license) => {
    Object.assign(now, { nowMs: day * DAY_MS, used });
    reminders.check(of as License);
    return said.splice(0).length;
  };
  expect([check(10, 0), check(71, 0), check(72, 0), check(86.5, 0), check(86.6, 0)]).toEqual([0, 1, 0, 1, 0]);
  expect([check(86.7, 91), check(86.8, 95), check(86.9, 100)]).toEqual([1, 0, 1]);
  expect(check(86.9, 100, { ...license })).toBe(2);
});
