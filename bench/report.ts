import { type CellResult, type Verdict, verdictOf } from "./result.ts";

/** One cell, as lines for a terminal. */
export function formatCell({ name, servers, cpuRatios, bounds }: CellResult): string {
  const [first] = Object.keys(servers);
  const lines = [
    name,
    `  ${"server".padEnd(22)} CPU us/req   x ${(first ?? "").padEnd(16)} req/s     p50 us    p99 us    MiB`,
  ];
  for (const [server, { cpu, rate, p50, p99, memory, otherMemory }] of Object.entries(servers)) {
    const columns = [
      cpu.toFixed(1).padStart(10),
      cpuRatios[server]!.toFixed(2).padStart(7),
      rate.toFixed(0).padStart(16),
      p50.toFixed(0).padStart(10),
      p99.toFixed(0).padStart(9),
      `${memory.toFixed(0).padStart(6)}${otherMemory === 0 ? "" : ` + ${otherMemory.toFixed(0)}`}`,
    ];
    lines.push(`  ${server.padEnd(22)} ${columns.join(" ")}`);
  }
  for (const bound of bounds) {
    const { server, peer, figure, must, aim, ratio } = bound;
    const sign = figure === "rate" ? ">=" : "<=";
    const limits = `${must === null ? "" : `must ${sign} ${must}, `}aim ${sign} ${aim}`;
    lines.push(`  ${server} / ${peer}, ${figure}: ${ratio.toFixed(2)} (${limits}): ${verdictOf(bound)}`);
  }
  return lines.join("\n");
}

/** How it went, in a line. */
export function formatVerdict(cells: readonly CellResult[]): string {
  const bounds = cells.flatMap((cell) => cell.bounds.filter(({ must }) => must !== null));
  const count = (wanted: Verdict) => bounds.filter((bound) => verdictOf(bound) === wanted).length;
  const missed = count("MISSED");
  return `${bounds.length - missed} of ${bounds.length} bounds met, ${count("aim met")} of them with their aim; ${missed} missed`;
}
