import { writeFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Cell, cells } from "./cells.ts";
import { Fleet } from "./fleet.ts";
import { measure, Rounds } from "./measure.ts";
import { formatCell, formatVerdict } from "./report.ts";
import { type CellResult, describeMachine, type Result, resultOf } from "./result.ts";
import type { OwnServer, ServerKind } from "./servers.ts";

/**
 * `npm run bench`: Signet beside other servers that do the same, in one run on one machine. The servers of a cell are
 * measured one after the other, in the other direction each round. Ratios are of the same round, and their medians are
 * printed; CPU time per request is the figure that a noisy machine disturbs least. `--quick` takes a minute.
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    json: { type: "string" },
  },
});
const rounds = values.rounds === undefined ? (values.quick ? 3 : 5) : Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds > 0))
  throw new Error(`--rounds: expected a whole number, found ${values.rounds}`);
const secondsEach = values.quick ? 0.4 : 1;
const warmUpSeconds = values.quick ? 0.2 : 0.5;
/** Before a server's first measurement: Node needs seconds under load until what it does here is compiled. */
const firstWarmUpSeconds = values.quick ? 2 : 8;
const words = [values.only ?? "", ...positionals].join(" ").toLowerCase().split(/\s+/).filter(Boolean);

const machine = describeMachine();
const measuredAt = new Date().toISOString();
const leftOut: string[] = [];
const failures: string[] = [];
const results: CellResult[] = [];
const plan = wantedCells().map((cell) => ({ cell, servers: serversOf(cell) }));
if (plan.length === 0) {
  throw new Error(`expected words in the name of a measurement, found "${words.join(" ")}"; see bench/cells.ts`);
}

const fleet = new Fleet();
const warm = new Set<OwnServer>();
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interruption.abort(new Error("interrupted")));
try {
  const { processor, cores, memoryGiB, kernel, node, load } = machine;
  console.log(`${cores} x ${processor}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, load ${load}`);
  console.log(`${rounds} rounds of ${secondsEach} s`);
  for (const [index, { cell, servers }] of plan.entries()) {
    await fleet.keep(plan.slice(index).flatMap((later) => later.servers));
    const result = resultOf(cell, await measureCell(cell, servers));
    results.push(result);
    console.log(`\n${formatCell(result)}`);
  }
} catch (error) {
  if (error !== interruption.signal.reason) throw error;
  console.error("interrupted");
} finally {
  await fleet.keep([]);
}
if (interruption.signal.aborted) process.exit(1);
console.log(`\n${formatVerdict(results)}`);
if (leftOut.length > 0) console.log(`left out: ${leftOut.join("; ")}`);
const result: Result = { measuredAt, machine, rounds, secondsEach, cells: results, leftOut, failures };
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
if (failures.length > 0) process.exitCode = 1;

/** Those whose names begin with the words that were given; where there are none, those that have all of the words. */
function wantedCells(): readonly Cell[] {
  const offered = values.quick ? cells.filter(({ quick }) => quick.length > 0) : cells;
  const named = offered.filter(({ name }) => name.toLowerCase().startsWith(words.join(" ")));
  return named.length > 0
    ? named
    : offered.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
}

/** Those that can be had here. */
function serversOf(cell: Cell): ServerKind[] {
  return (values.quick ? cell.quick : cell.servers).filter((kind) => {
    const why = (kind.of ?? kind).missing();
    if (why !== null && !leftOut.includes(`${kind.name}: ${why}`)) leftOut.push(`${kind.name}: ${why}`);
    return why === null;
  });
}

/** A server that fails is not asked again in this cell; the run goes on and ends with exit code 1. */
async function measureCell(cell: Cell, kinds: readonly ServerKind[]): Promise<Rounds> {
  const found = new Rounds();
  const failed = new Set<ServerKind>();
  for (let round = 0; round < rounds; round++) {
    for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
      await hearSignals();
      if (failed.has(kind)) continue;
      try {
        const server = kind.of ?? kind;
        const isFirst = server.isCompiledUnderLoad === true && !warm.has(server);
        warm.add(server);
        const warmUp = isFirst ? firstWarmUpSeconds : round === 0 ? 4 * warmUpSeconds : warmUpSeconds;
        const started = await fleet.start(kind);
        await hearSignals();
        found.add(kind.name, measure(started, cell, secondsEach, warmUp));
      } catch (error) {
        if (interruption.signal.aborted) throw error;
        failed.add(kind);
        fail((error as Error).message);
      }
    }
  }
  return found;
}

/**
 * A measurement keeps this process busy until it ends, so signals are heard in between: in the second turn, if the first
 * was under way. @throws what the run was interrupted with
 */
async function hearSignals(): Promise<void> {
  await nextTurn();
  await nextTurn();
  interruption.signal.throwIfAborted();
}

/** Says it once, also of a server that several cells need and that did not start. */
function fail(message: string): void {
  if (failures.includes(message)) return;
  failures.push(message);
  console.error(`failed: ${message}`);
}
