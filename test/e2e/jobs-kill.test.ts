import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runKillRounds } from "../../bench/jobs/kill-rounds.ts";

test("jobs that were accepted end exactly once though the server is killed, and the ledger agrees", async () => {
  const directory = mkdtempSync(join(tmpdir(), "signet-test-kill-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const { rounds, outcomes, breaches } = await runKillRounds({
    directory,
    rounds: 3,
    jobs: 100,
    seed: 5,
    say: () => {},
  });
  expect(breaches).toEqual([]);
  const accepted = rounds.reduce((sum, round) => sum + round.accepted, 0);
  expect(accepted).toBeGreaterThan(100);
  expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(accepted);
  expect(outcomes.succeeded).toBeGreaterThan(0);
});
