import { writeSync } from "node:fs";
import { openLedger } from "./ledger.ts";
import { lockFile } from "./ledger-lock.fixture.ts";
import { startRun } from "./start-run.fixture.ts";

/**
 * A server that does nothing but charge runs, as fast as it can, until it is killed. It writes one byte for every
 * run after the run was granted: "s" for the scarce service and "p" for the plentiful one.
 */
const [directory, anchorFile, keyHex, scarceRuns, plentifulRuns] = process.argv.slice(2) as string[];
const ledger = openLedger({
  directory: directory!,
  anchorFile: anchorFile!,
  key: Buffer.from(keyHex!, "hex"),
  lock: lockFile,
  create: true,
  segmentBytes: 30_000, // so that kills also hit the change of segments
});
ledger.admit("lic", 1);

const services = [
  { name: "scarce", byte: "s", limits: { runs: Number(scarceRuns), runTimeMs: null, concurrency: 4 } },
  { name: "plentiful", byte: "p", limits: { runs: Number(plentifulRuns), runTimeMs: null, concurrency: 4 } },
];

function work(): void {
  for (const { name, byte, limits } of services)
    for (let i = 0; i < (name === "scarce" ? 3 : 300); i++) {
      const ticket = startRun(ledger, "lic", name, limits);
      writeSync(1, byte);
      ledger.settle(ticket);
    }
  if (Math.random() < 0.2) ledger.beat();
  setImmediate(work);
}
work();
