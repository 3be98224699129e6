import type { Reporter, TestCase, TestModule } from "vitest/node";
import { knownAttacks } from "./known-attacks.ts";

interface Row {
  readonly family: string;
  readonly attack: string;
  readonly tried: string;
  readonly outcome: string;
  readonly code: string;
  readonly hasHeld: boolean;
}

/** Prints the attacks of a test run as a table: what was tried, what happened, with which code. */
export default class AttackReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows: Row[] = [];
    const missing = new Set(knownAttacks);
    let brokenFiles = 0;
    for (const module of modules) {
      for (const error of module.errors()) {
        brokenFiles++;
        console.log(`${module.relativeModuleId}: ${error.message}`);
      }
      for (const test of module.children.allTests()) {
        const known = knownAttacks.find(
          ({ file, test: name }) => file === module.relativeModuleId && name === test.name,
        );
        if (known !== undefined && test.result().state !== "skipped") {
          missing.delete(known);
          rows.push(rowOf(test, { ...known, code: known.code ?? "" }));
        }
        const recorded = (test.meta() as { attack?: { tried: string; outcome?: string; code?: string } }).attack;
        if (recorded !== undefined) {
          const { tried, outcome = "", code = "" } = recorded;
          rows.push(rowOf(test, { family: familyOf(test), attack: test.name, tried, outcome, code }));
        }
      }
    }
    printTable(rows);
    for (const { file, test } of missing) console.log(`did not run: ${file}: ${test}`);
    const succeeded = rows.filter(({ hasHeld }) => !hasHeld).length;
    const failures = succeeded + missing.size + brokenFiles;
    console.log(
      `\n${rows.length} attacks, ${rows.length - succeeded} held off, ${succeeded} not, ${missing.size} not run`,
    );
    if (failures > 0 || rows.length === 0) process.exitCode = 1;
  }
}

function rowOf(test: TestCase, row: Omit<Row, "hasHeld">): Row {
  const result = test.result();
  if (result.state === "passed") return { ...row, hasHeld: true };
  const reason = result.errors?.[0]?.message.split("\n")[0] ?? result.state;
  return { ...row, outcome: `NOT HELD OFF: ${reason}`, code: "", hasHeld: false };
}

function familyOf(test: TestCase): string {
  return test.parent.type === "suite" ? test.parent.name.replace(/^attacks on /, "") : test.module.relativeModuleId;
}

function printTable(rows: readonly Row[]): void {
  const header = ["ATTACK", "TRIED", "OUTCOME", "CODE"];
  const cells = (row: Row) => [row.attack, row.tried, row.outcome, row.code];
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => cells(row)[column]!.length)));
  const line = (texts: readonly string[]) =>
    texts
      .map((text, column) => text.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  for (const [family, members] of Map.groupBy(rows, (row) => row.family)) {
    console.log(`\n${family}`);
    console.log(line(header));
    for (const row of members) console.log(line(cells(row)));
  }
}
