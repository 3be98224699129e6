import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatReport } from "./report.ts";
import { Soak } from "./soak.ts";

/** `npm run soak -- --minutes 60 [--seed N] [--out DIRECTORY]`. Exits with 1 where something did not hold. */

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    out: { type: "string" },
  },
});
const seconds = Number(values.minutes) * 60;
const seed = Number(values.seed);
if (!(seconds >= 24 && seconds <= 7 * 86_400) || !Number.isInteger(seed)) {
  console.error("expected --minutes of 0.4 or more, and a whole number for --seed");
  process.exit(2);
}
const directory = values.out ?? mkdtempSync(join(tmpdir(), "signet-soak-"));
console.log(`soak of ${values.minutes} min, seed ${seed}; everything is kept in ${directory}`);
const report = await new Soak({
  ...{ seconds, seed, directory, calmS: [2, 15] },
  load: { clientProcesses: 2, patients: 4, hasty: 3, pauseMs: 60 },
  say: (words) => console.log(words),
}).run();
console.log(formatReport(report, seconds).join("\n"));
console.log(report.verdict.holds ? "\nPASS" : `\nFAIL: ${report.verdict.failures.length} times something did not hold`);
process.exitCode = report.verdict.holds ? 0 : 1;
