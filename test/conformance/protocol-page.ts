import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ConformanceCase, Failure, Step } from "./case.ts";
import { areas, wiresOf } from "./cases.ts";
import { type OperationFacts, operations } from "./operations.ts";

/**
 * Writes the parts of docs/reference/protocol.md that are drawn from the table of cases:
 * `node test/conformance/protocol-page.ts`. test/contract/docs-match-code.test.ts fails where page and table differ.
 */

const NOTICE = "made from test/conformance by `node test/conformance/protocol-page.ts`";

const parts: Readonly<Record<string, () => string>> = {
  calls: callsTable,
  cases: () => areas.map(({ title, cases }) => `### ${title}\n\n${casesTable(cases)}`).join("\n\n"),
  deviations: deviationsList,
};

/** The page with its parts as the table has them now. */
export function protocolPage(page: string): string {
  return Object.entries(parts).reduce((text, [name, write]) => {
    const [begin, end] = [`<!-- ${name}: ${NOTICE} -->`, `<!-- end of ${name} -->`];
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/reference/protocol.md lacks ${begin} or ${end}`);
    return `${text.slice(0, from + begin.length)}\n\n${write()}\n\n${text.slice(to)}`;
  }, page);
}

function callsTable(): string {
  const rows = Object.entries<OperationFacts>(operations).map(
    ([name, { needs, answers, rest, python }]) =>
      `| \`${name}\` | ${needs} | ${answers} | ${rest === null ? "none" : `\`${rest}\``} | ${codes(python)} |`,
  );
  const head = "| Call | Needs | Answers | Over REST | In Triton's Python clients |\n|---|---|---|---|---|";
  return `${head}\n${rows.join("\n")}`;
}

function codes(names: string): string {
  return names
    .split(", ")
    .map((name) => `\`${name}\``)
    .join(", ");
}

function casesTable(cases: readonly ConformanceCase[]): string {
  const shown = cases.filter(
    ({ family }, index) => family === undefined || cases.findIndex((other) => other.family === family) === index,
  );
  const rows = shown.map((each) => {
    const failures = [...new Set(each.steps.flatMap(({ fails }) => (fails === undefined ? [] : [fails])))];
    return `| ${each.family ?? each.name} | ${callsOf(each.steps)} | ${failures.map(wordsOf).join("; ") || "OK"} | ${wiresIn(each)} |`;
  });
  return `| What | Calls | Status | Tried over |\n|---|---|---|---|\n${rows.join("\n")}`;
}

function callsOf(steps: readonly Step[]): string {
  return [...new Set(steps.map(({ call }) => `\`${call}\``))].join(", ");
}

function wordsOf({ grpc, http, code }: Failure): string {
  return `${grpc}, ${http}${code === null || code === grpc ? "" : `, \`${code}\``}`;
}

/** gRPC stands for both of its transports, and Python for both of its clients where both can say it. */
function wiresIn(each: ConformanceCase): string {
  const wires = wiresOf(each).filter((wire) => wire !== "gRPC on node");
  const python = wires.filter((wire) => wire.startsWith("Python"));
  const others = wires.filter((wire) => !wire.startsWith("Python"));
  return [...others, ...(python.length === 2 ? ["Python"] : python)].join(", ");
}

function deviationsList(): string {
  const deviations = areas.flatMap(({ cases }) => cases.flatMap(({ deviation }) => deviation ?? []));
  return deviations.map((words) => `- ${words}`).join("\n");
}

if (import.meta.main) {
  const file = fileURLToPath(new URL("../../docs/reference/protocol.md", import.meta.url));
  writeFileSync(file, protocolPage(readFileSync(file, "utf8")));
}
