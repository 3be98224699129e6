import type { Reporter, TestCase, TestModule } from "vitest/node";
import { type AttackRecord, families } from "./attack-record.ts";

interface Row {
  readonly family: string;
  readonly attack: string;
  readonly tried: string;
  readonly outcome: string;
  /** How often each code was seen. */
  readonly codes: Readonly<Record<string, number>>;
  readonly exits: readonly number[];
  readonly isHeldOff: boolean;
  readonly file: string;
  readonly test: string;
}

export interface AttackTableOptions {
  /** Only families with these words in their name. */
  readonly family: string;
  /** One JSON object a line instead of tables. */
  readonly json: boolean;
}

/** Prints the attacks of a test run: what was tried, what happened, with which codes. Fails if one succeeded. */
export default class AttackReporter implements Reporter {
  readonly #options: AttackTableOptions;
  #ended = 0;

  constructor(options: AttackTableOptions) {
    this.#options = options;
  }

  /** Shows a person that something happens: it takes minutes. */
  onTestCaseResult(): void {
    this.#ended++;
    if (process.stderr.isTTY) process.stderr.write(`\r${this.#ended} tests\u001b[K`);
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
    const rows: Row[] = [];
    const skipped: string[] = [];
    let brokenFiles = 0;
    for (const module of modules) {
      const suites = [...module.children.allSuites()];
      for (const error of [module, ...suites].flatMap((part) => part.errors())) {
        brokenFiles++;
        console.error(`${module.relativeModuleId}: ${error.message}`);
      }
      for (const test of module.children.allTests()) {
        const { attack } = test.meta();
        if (attack === undefined || !attack.family.includes(this.#options.family)) continue;
        if (test.result().state === "skipped") skipped.push(`${test.fullName}: ${reasonOf(test)}`);
        else rows.push(rowOf(test, attack));
      }
    }
    if (this.#options.json) for (const row of rows) console.log(JSON.stringify(row));
    else printTables(rows);
    for (const name of skipped) console.error(`not performed: ${name}`);
    const succeeded = rows.filter(({ isHeldOff }) => !isHeldOff).length;
    const counts = [`${rows.length} attacks`, `${rows.length - succeeded} held off`, `${succeeded} not`];
    console.error(`\n${counts.join(", ")}, ${skipped.length} not performed`);
    const mustAll = process.env.CI !== undefined && process.env.CI !== "";
    if (succeeded + brokenFiles > 0 || rows.length === 0 || (mustAll && skipped.length > 0)) process.exitCode = 1;
  }
}

function rowOf(
  test: TestCase,
  { family, attack = test.name, tried = test.name, codes, exits, outcome }: AttackRecord,
): Row {
  const { state, errors } = test.result();
  const times = Object.values(codes).reduce((sum, each) => sum + each, 0);
  const refused = `refused${times > 1 ? ` ${times} times` : ""}${exits.length === 0 ? "" : `, exit code ${exits.join(" or ")}`}`;
  const seen = outcome ?? (times > 0 ? refused : undefined);
  const isHeldOff = state === "passed" && seen !== undefined;
  const failure = state === "passed" ? "its test says nothing of what happened" : (errors?.[0]?.message ?? state);
  return {
    family,
    attack,
    tried,
    outcome: isHeldOff ? seen : `NOT HELD OFF: ${failure.split("\n")[0]}`,
    codes,
    exits,
    isHeldOff,
    file: test.module.relativeModuleId,
    test: test.fullName,
  };
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  return (result.state === "skipped" ? result.note : undefined) ?? "skipped here";
}

/** Three or more ways to one attack that ended alike are one line of the table. */
function linesOf(rows: readonly Row[]): string[][] {
  const ways = Map.groupBy(rows, ({ attack, outcome, codes }) => JSON.stringify([attack, outcome, Object.keys(codes)]));
  return [...ways.values()].flatMap((alike) => {
    const lines = alike.map(({ attack, tried, outcome, codes }) => [
      attack,
      tried,
      outcome,
      Object.keys(codes).join(", "),
    ]);
    if (lines.length < 3) return lines;
    const [attack, tried, ...ended] = lines.toSorted((a, b) => a[1]!.length - b[1]!.length)[0]!;
    return [[attack!, `${lines.length} ways, such as: ${tried}`, ...ended]];
  });
}

function printTables(rows: readonly Row[]): void {
  const header = ["ATTACK", "TRIED", "OUTCOME", "CODE"];
  for (const family of families) {
    const lines = linesOf(rows.filter((row) => row.family === family));
    if (lines.length === 0) continue;
    console.log(`\nattacks on ${family}`);
    const table = [header, ...lines];
    const widths = header.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
    for (const cells of table) {
      const padded = cells.map((text, column) => text.padEnd(widths[column]!));
      console.log(padded.join("  ").trimEnd());
    }
  }
}
