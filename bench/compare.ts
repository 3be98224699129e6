import { cpus } from "node:os";
import { join } from "node:path";
import { type Cell, cells } from "./cells.ts";
import { createBenchHost, root } from "./host.ts";
import { measure, Rounds } from "./measure.ts";
import { aioServer, type BenchServer, cppServer, signetServer, tritonServer } from "./servers.ts";

/**
 * `npm run bench`: Signet beside other servers that do the same, in one run on one machine. All are started first and
 * measured one after the other, in the other direction each round. Ratios are of the same round, and their medians
 * are printed; CPU time per request is the figure that a noisy machine disturbs least. `--quick` takes a minute.
 */

const isQuick = process.argv.includes("--quick");
const rounds = isQuick ? 3 : 5;
const seconds = isQuick ? 0.6 : 1;
const warmUpSeconds = isQuick ? 0.3 : 0.6;

const plugin = join(root, "build", "native", "libsignet_identity.so");
const services = [{ name: "identity", library: plugin, limits: { runs: 1e9, concurrency: 2 } }];
const hosts = [createBenchHost(services), createBenchHost(services, { transport: "node" })] as const;
const kinds = [
  cppServer("C++"),
  cppServer("C++ with plugin", ["--plugin", plugin]),
  signetServer("signet", hosts[0]),
  signetServer("signet, node:http2", hosts[1]),
  aioServer,
  tritonServer,
];

const servers: BenchServer[] = [];
try {
  console.log(`${cpus().length} x ${cpus()[0]!.model}, Node ${process.version}, ${rounds} rounds of ${seconds} s\n`);
  for (const kind of kinds) {
    const why = kind.missing();
    if (why !== null) console.log(`${kind.name}: left out: ${why}`);
    else servers.push(await kind.start());
  }
  let missed = 0;
  for (const cell of cells.filter(({ quick }) => quick || !isQuick)) missed += report(cell, measureCell(cell));
  console.log(`\n${missed === 0 ? "every bound that was measured is met" : `${missed} bounds missed`}`);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  for (const host of hosts) host.remove();
}

function measureCell(cell: Cell): Rounds {
  const found = new Rounds();
  const refusing = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      if (refusing.has(server.name)) continue;
      try {
        found.add(server.name, measure(server, cell, seconds, warmUpSeconds));
      } catch (error) {
        refusing.add(server.name);
        console.log(`left out: ${(error as Error).message}`);
      }
    }
  }
  return found;
}

/** Prints a cell and returns how many of its bounds are missed. */
function report(cell: Cell, found: Rounds): number {
  console.log(`\n${cell.name}`);
  console.log("  server               CPU us/req   x C++   req/s     p50 us    p99 us");
  for (const server of found.servers) {
    const ratio = found.ratio(server, "C++", "cpu");
    const columns = [
      found.median(server, "cpu").toFixed(1).padStart(10),
      (ratio === null ? "-" : ratio.toFixed(2)).padStart(7),
      found.median(server, "rate").toFixed(0).padStart(7),
      found.median(server, "p50").toFixed(0).padStart(10),
      found.median(server, "p99").toFixed(0).padStart(9),
    ];
    console.log(`  ${server.padEnd(20)} ${columns.join(" ")}`);
  }
  let missed = 0;
  for (const { server, peer, figure, must, aim } of cell.bounds) {
    const ratio = found.ratio(server, peer, figure);
    if (ratio === null) continue;
    const isMet = (limit: number) => (figure === "rate" ? ratio >= limit : ratio <= limit);
    const sign = figure === "rate" ? ">=" : "<=";
    const verdict = isMet(aim) ? "aim met" : isMet(must) ? "met" : "MISSED";
    if (!isMet(must)) missed++;
    console.log(
      `  ${server} / ${peer}, ${figure}: ${ratio.toFixed(2)} (must ${sign} ${must}, aim ${sign} ${aim}): ${verdict}`,
    );
  }
  return missed;
}
