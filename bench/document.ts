import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./host.ts";
import { type CellResult, type Machine, type Result, readResult, type Verdict, verdictOf } from "./result.ts";

/** `node bench/document.ts FILE`: writes a result of `npm run bench -- --json FILE` into the performance page. */

const BEGIN = "<!-- The rest of this section is written by `node bench/document.ts`. -->\n";
const END = "<!-- That was it. -->\n";

const figureNames = {
  cpu: "CPU time",
  rate: "requests/s",
  p50: "median latency",
  p99: "99th percentile",
  memory: "memory",
  otherMemory: "memory of other processes",
} as const;
const verdictWords: Record<Verdict, string> = {
  "aim met": "aim met",
  met: "met",
  measured: "aim missed",
  MISSED: "**missed**",
};

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("expected the file of a result: node bench/document.ts FILE");
const page = join(root, "docs", "reference", "performance.md");
const text = readFileSync(page, "utf8");
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) throw new Error(`${page}: expected the lines that begin and end the section`);
writeFileSync(page, text.slice(0, from + BEGIN.length) + sectionOf(readResult(file)) + text.slice(to));

function sectionOf({ cells, machine, measuredAt, rounds, secondsEach, leftOut, failures }: Result): string {
  const bounded = cells.filter(({ bounds }) => bounds.length > 0);
  const others = [...leftOut.map((what) => `Left out: ${what}.`), ...failures.map((what) => `Failed: ${what}.`)];
  return [
    "",
    `Measured on ${measuredAt.slice(0, 10)} on ${describe(machine)}: medians of ${rounds} rounds of ${secondsEach} s.`,
    ...others,
    "",
    "| Measurement | What over what | Ratio | Must be | Aim | |",
    "|---|---|---:|---:|---:|---|",
    ...bounded.flatMap(boundRows),
    "",
    "All figures. CPU is of all processes of the server, for one request; × is CPU over that of the first server in the",
    "group. Memory is resident: of the process that talks to clients, and of the server's other processes together.",
    "",
    "| Measurement | Server | CPU us | × | Requests/s | p50 us | p99 us | MiB | Others MiB |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ...cells.flatMap(figureRows),
    "",
  ].join("\n");
}

function describe({ cores, processor, memoryGiB, kernel, node, load }: Machine): string {
  const shared = load > 1 ? ", shared with others" : "";
  return `${cores} cores of an ${processor}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node.slice(1)}${shared} (load ${load} before it began)`;
}

function boundRows({ name, bounds }: CellResult): string[] {
  return bounds.map((bound, index) => {
    const { server, peer, figure, must, aim, ratio } = bound;
    const sign = figure === "rate" ? "≥" : "≤";
    const limits = `${must === null ? "-" : `${sign} ${must}`} | ${sign} ${aim}`;
    const what = `${server} / ${peer}, ${figureNames[figure]}`;
    return `| ${index === 0 ? name : ""} | ${what} | ${ratio.toFixed(2)} | ${limits} | ${verdictWords[verdictOf(bound)]} |`;
  });
}

function figureRows({ name, servers, cpuRatios }: CellResult): string[] {
  return Object.entries(servers).map(([server, { cpu, rate, p50, p99, memory, otherMemory }], index) => {
    const columns = [
      index === 0 ? name : "",
      server,
      cpu.toFixed(1),
      cpuRatios[server]!.toFixed(2),
      rate.toLocaleString("en", { maximumFractionDigits: 0 }),
      p50.toLocaleString("en", { maximumFractionDigits: 0 }),
      p99.toLocaleString("en", { maximumFractionDigits: 0 }),
      memory.toFixed(0),
      otherMemory === 0 ? "" : otherMemory.toFixed(0),
    ];
    return `| ${columns.join(" | ")} |`;
  });
}
