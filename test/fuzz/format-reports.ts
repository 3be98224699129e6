import type { Finding, Progress } from "./fuzzer.ts";

export interface TargetReport {
  readonly name: string;
  /** Undefined where the thread did not live to tell. */
  readonly progress: Progress | undefined;
  readonly findings: readonly Finding[];
  readonly seconds: number;
}

const headings = ["target", "executions", "per second", "accepted", "blocks", "of", "inputs", "findings"];

/** The table of a session. */
export function formatReports(reports: readonly TargetReport[]): string {
  const rows = reports.map(({ name, progress, findings, seconds }) => {
    if (progress === undefined) return [name, "", "", "", "", "", "", String(findings.length)];
    const { executions, accepted, blocks, allBlocks, kept } = progress;
    const numbers = [executions, Math.round(executions / seconds), accepted, blocks, allBlocks, kept, findings.length];
    return [name, ...numbers.map((number) => number.toLocaleString("en"))];
  });
  const sum = (pick: (report: TargetReport) => number) =>
    reports.reduce((total, report) => total + pick(report), 0).toLocaleString("en");
  const totals = [
    ...[
      "together",
      sum(({ progress }) => progress?.executions ?? 0),
      "",
      sum(({ progress }) => progress?.accepted ?? 0),
    ],
    ...["", "", sum(({ progress }) => progress?.kept ?? 0), sum(({ findings }) => findings.length)],
  ];
  const lines = [headings, ...rows, totals];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  "),
    )
    .join("\n");
}
