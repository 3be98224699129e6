import { countOf } from "./books.ts";
import { addTally } from "./clients.ts";
import { services } from "./desk.ts";
import type { LifeReport } from "./life.ts";
import type { Tally } from "./protocol.ts";
import { type Sample, spreadOf } from "./sampler.ts";
import type { SoakReport } from "./soak.ts";

const WINDOWS = 12;

/** The report of a soak as lines for people. */
export function formatReport(report: SoakReport, seconds: number): string[] {
  return [
    "TIME",
    ...formatTable(windowRows(report, Math.max(10, seconds / WINDOWS))),
    "",
    "LIVES: runs counted by the ledger and by the run log; burnt is what a kill -9 charged beyond the run log's count",
    ...formatTable(lifeRows(report.lives)),
    "",
    "CALLS",
    ...formatTable(callRows(report.tally)),
    "",
    `disturbed: ${[...report.disturbed].map(([name, count]) => `${name} ${count}`).join(", ")}`,
    `log: ${[...report.errors].map(([words, count]) => `${words} ${count}`).join(", ")}`,
    ...hostLines(report.samples),
    ...growthLines(report),
    `at the end the ledger has ${report.ledgerKiB} KiB, the audit log ${report.auditKiB} KiB`,
    "",
    ...report.verdict.lines,
  ];
}

function windowRows({ tallies, samples }: SoakReport, windowS: number): string[][] {
  const head = ["from", "calls", "answered", "refused", "given up", "cut off"];
  const rows = [[...head, "gateway MiB", "hosts MiB", "descriptors", "memory files", "ledger KiB", "audit KiB"]];
  const lastS = Math.max(0, ...tallies.map(({ atS }) => atS));
  for (let fromS = 0; fromS <= lastS; fromS += windowS) {
    const isWithin = ({ atS }: { readonly atS: number }) => atS >= fromS && atS < fromS + windowS;
    const tally = merge(tallies.filter(isWithin).map(({ tally }) => tally));
    const taken = samples.filter(isWithin);
    rows.push([
      `${Math.floor(fromS / 60)}:${String(Math.round(fromS % 60)).padStart(2, "0")}`,
      ...kindsOf(tally),
      spread(taken.map(({ gatewayMiB }) => gatewayMiB)),
      spread(taken.flatMap(({ hosts }) => hosts.map(({ rssMiB }) => rssMiB))),
      spread(taken.map(({ descriptors }) => descriptors)),
      spread(taken.map(({ memoryFiles }) => memoryFiles)),
      `${taken.at(-1)?.ledgerKiB ?? "-"}`,
      `${taken.at(-1)?.auditKiB ?? "-"}`,
    ]);
  }
  return rows;
}

function kindsOf(tally: Tally): string[] {
  const count = (...endings: string[]) => endings.reduce((sum, ending) => sum + countOf(tally, "*", "*", ending), 0);
  const all = Object.values(tally).reduce((sum, number) => sum + number, 0);
  const answered = count("answered");
  const givenUp = count("CANCELLED", "DEADLINE_EXCEEDED", "gone");
  const lost = count("lost");
  return [all, answered, all - answered - givenUp - lost, givenUp, lost].map(String);
}

function lifeRows(lives: readonly LifeReport[]): string[][] {
  const rows = [
    ["life", "s", "over", "end", "calls", "service", "charged", "logged", "answered", "failed", "given up"],
  ];
  rows[0]!.push("leased", "burnt");
  for (const { life, seconds, security, end, calls, accounts } of lives) {
    for (const [index, account] of accounts.entries()) {
      const { service, charged, logged, answered, failed, givenUp, leased } = account;
      const about = index === 0 ? [life, seconds, security, end, calls] : ["", "", "", "", ""];
      const burnt = end === "SIGKILL" ? charged - logged : "-";
      rows.push([...about, service, charged, logged, answered, failed, givenUp, leased, burnt].map(String));
    }
  }
  for (const service of services) {
    const of = lives.flatMap(({ accounts }) => accounts.filter((account) => account.service === service));
    const total = (key: "charged" | "logged" | "answered" | "failed" | "givenUp" | "leased") =>
      of.reduce((sum, account) => sum + account[key], 0);
    const sums = [total("charged"), total("logged"), total("answered"), total("failed"), total("givenUp")];
    const about = [service === services[0] ? "all" : "", "", "", "", "", service];
    rows.push([...about, ...sums, total("leased"), total("charged") - total("logged")].map(String));
  }
  return rows;
}

function callRows(tally: Tally): string[][] {
  const keys = Object.keys(tally).map((key) => key.split(" ") as [string, string, string]);
  const endings = [...new Set(keys.map(([, , ending]) => ending))].sort();
  const targets = [...new Set(keys.map(([, service]) => service))].sort();
  return [
    ["ending", ...targets.map((service) => (service === "-" ? "no job" : service)), "all"],
    ...endings.map((ending) => [
      ending,
      ...targets.map((service) => `${countOf(tally, "*", service, ending)}`),
      `${countOf(tally, "*", "*", ending)}`,
    ]),
  ];
}

function hostLines(samples: readonly Sample[]): string[] {
  const hosts = Map.groupBy(
    samples.flatMap(({ hosts }) => hosts),
    ({ service }) => service,
  );
  return [...hosts].map(([service, taken]) => `host of ${service}: ${spread(taken.map(({ rssMiB }) => rssMiB))} MiB`);
}

function growthLines({ growth }: SoakReport): string[] {
  if (growth === null) return [];
  const { life, minutes, mibPerHour, mib } = growth;
  return [`gateway in its longest life (${life}, ${minutes} min), warm: ${mib} MiB grown, slope ${mibPerHour} MiB/h`];
}

/** least-median-most */
function spread(numbers: readonly number[]): string {
  const found = spreadOf(numbers);
  return found === null ? "-" : [found.least, found.median, found.most].map((number) => Math.round(number)).join("/");
}

function merge(tallies: readonly Tally[]): Tally {
  const sum: Tally = {};
  for (const tally of tallies) addTally(sum, tally);
  return sum;
}

function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
}
