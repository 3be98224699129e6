import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runKillRounds } from "./kill-rounds.ts";

/** `node bench/jobs/kill.ts [--rounds N] [--jobs N] [--seed N]`: kills a server under jobs, and prints the books. */

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    jobs: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
  },
});

const report = await runKillRounds({
  directory: mkdtempSync(join(tmpdir(), "signet-kill-")),
  rounds: Number(values.rounds),
  jobs: Number(values.jobs),
  seed: Number(values.seed),
  say: (words) => console.error(words),
});
const recovery = report.rounds
  .map(({ recoveryMs }) => recoveryMs)
  .filter((ms) => ms > 0)
  .sort((a, b) => a - b);
console.log(
  `${report.rounds.reduce((sum, { accepted }) => sum + accepted, 0)} jobs accepted in ${report.rounds.length} rounds`,
);
for (const [outcome, count] of Object.entries(report.outcomes)) console.log(`  ${outcome.padEnd(30)} ${count}`);
for (const [service, { store, ledger, forfeited }] of Object.entries(report.runs)) {
  console.log(
    `  ${service.padEnd(10)} runs: ${store} in the store, ${ledger} in the ledger, ${forfeited} of them leases cut off`,
  );
}
const median = recovery[recovery.length >> 1];
if (median !== undefined) {
  console.log(
    `taken up again after a start: median ${Math.round(median)} ms, worst ${Math.round(recovery.at(-1)!)} ms`,
  );
}
for (const breach of report.breaches) console.log(`BREACH: ${breach}`);
process.exitCode = report.breaches.length === 0 ? 0 : 1;
