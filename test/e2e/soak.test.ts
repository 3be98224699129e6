import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { countOf } from "../../bench/soak/books.ts";
import { Soak } from "../../bench/soak/soak.ts";

/** `npm run soak` is the same for an hour. What it looks at, and what must hold, is in bench/soak. */
test("half a minute of mixed load with crashes, a renewal and a kill -9 loses no job and charges each", async () => {
  const directory = mkdtempSync(join(tmpdir(), "signet-soak-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const { verdict, lives, tally, disturbed } = await new Soak({
    ...{ directory, seconds: 24, seed: 3, calmS: [0.2, 1] },
    load: { clientProcesses: 2, patients: 2, hasty: 2, pauseMs: 40 },
    say: () => {},
  }).run();

  expect(verdict.failures).toEqual([]);
  expect(lives.map(({ end }) => end)).toEqual(["SIGKILL", "SIGTERM"]);
  expect(disturbed.get("renew")).toBeGreaterThanOrEqual(1);
  expect(disturbed.get("endHost")).toBeGreaterThanOrEqual(1);
  expect(countOf(tally, "*", "faulty", "SERVICE_CRASHED")).toBeGreaterThanOrEqual(2);
  for (const { accounts } of lives) {
    expect(accounts.filter(({ charged, answered }) => charged >= answered && answered > 0).length).toBeGreaterThan(1);
  }
}, 600_000);
