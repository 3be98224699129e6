import { expect, test } from "vitest";
import type { HostRequest, License } from "../../src/license/index.ts";
import { usageNotes } from "./usage-notes.ts";

const limits = { runs: 5, runTimeMs: 3_600_000, jobTimeMs: null, concurrency: 1, notBefore: null, expires: null };
const license = { services: [{ name: "ocr", version: "1", files: [], limits }] } as unknown as License;

function requestOf(runs: number, runTimeMs: number): HostRequest {
  return { ledger: { sequence: 3, mac: "", totals: { ocr: { runs, runTimeMs } } } } as unknown as HostRequest;
}

test("a renewal that raises no runs is warned about, and says why", () => {
  const [runs, runTime] = usageNotes(license, requestOf(5, 60_000), true);
  expect(runs).toMatch(/^Warning: ocr: 5 runs, 5 runs already used: none left \(.*whole life/);
  expect(runTime).toMatch(/59 min run time left\.$/);
});

test("a renewal without enough run time is warned about", () => {
  expect(usageNotes(license, requestOf(1, 3_600_000), true)).toEqual([
    expect.stringMatching(/^ocr: .*4 runs left\.$/),
    expect.stringMatching(/^Warning: ocr: 1 h run time.*none left/),
  ]);
});

test("what is unlimited has nothing to run out", () => {
  const unlimited = { ...limits, runs: null, runTimeMs: null };
  const services = [{ name: "ocr", version: "1", files: [], limits: unlimited }];
  expect(usageNotes({ services } as unknown as License, requestOf(5, 1), true)).toEqual([]);
});

test("a new license for a host that used one names --renew; a fresh host is not bothered", () => {
  expect(usageNotes(license, requestOf(5, 1), false).join(" ")).toContain("--renew");
  expect(usageNotes(license, requestOf(0, 0), false)).toEqual([]);
  expect(usageNotes(license, {} as HostRequest, false)).toEqual([]);
});
