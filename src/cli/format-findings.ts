import type { DoctorFinding } from "../service/index.ts";

const COLUMNS = 80;
const INDENT = " ".repeat(11);

/** Findings below their areas, for a terminal of 80 columns and for a ticket alike. */
export function formatFindings(findings: readonly DoctorFinding[]): string {
  const byArea = Map.groupBy(findings, ({ area }) => area);
  return [...byArea].map(([area, list]) => [area, ...list.flatMap(formatFinding)].join("\n")).join("\n\n");
}

function formatFinding({ level, check, found, next }: DoctorFinding): string[] {
  const lines = wrap(`${check}: ${found}`, COLUMNS - INDENT.length);
  const steps = next === null ? [] : wrap(next, COLUMNS - INDENT.length - 3);
  return [
    ...lines.map((line, index) => (index === 0 ? `  ${level.padEnd(INDENT.length - 2)}${line}` : INDENT + line)),
    ...steps.map((line, index) => `${INDENT}${index === 0 ? "→ " : "  "}${line}`),
  ];
}

/** Colors what formatFindings made: the level of each finding, and nothing of the words. */
export function paintFindings(text: string): string {
  return text.replace(
    /^ {2}(ok|note|problem) /gm,
    (line, level: keyof typeof colors) => `${colors[level]}${line}${RESET}`,
  );
}

const RESET = "\u001b[0m";
const colors = { ok: "\u001b[32m", note: "\u001b[33m", problem: "\u001b[1;31m" } as const;

/** Breaks at spaces; a word that is longer than a line is broken too. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).flatMap((each) => chunksOf(each, columns))) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function chunksOf(word: string, columns: number): string[] {
  return word.match(new RegExp(`.{1,${columns}}`, "gsu")) ?? [];
}
