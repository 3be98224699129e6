import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { families } from "../../tools/dev/attack-record.ts";
import { readSection } from "./document-claims.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (file: string) => readFileSync(join(root, file), "utf8");

/** The families whose attacks a test file performs, as `attack.ts` finds them. */
function familiesIn(file: string): string[] {
  return [...read(file).matchAll(/\battacksOn\("([^"]+)"\)/g)].map((match) => match[1]!);
}

test("every promise of SECURITY.md names test files, and each of them performs attacks", () => {
  const rows = [...readSection(read("SECURITY.md"), "## What is promised").matchAll(/^\| (?!Against|-)(.*) \|$/gm)];
  const promises = rows.map((row) => row[1]!.split(" | "));
  expect(promises.length).toBeGreaterThan(20);
  const untested = promises.flatMap(([against = "", , testedIn = ""]) => {
    const files = [...testedIn.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    const idle = files.filter((file) => familiesIn(file).length === 0);
    return files.length === 0 || idle.length > 0 ? [`${against}: ${idle.join(", ") || "no file"}`] : [];
  });
  expect(untested).toEqual([]);
});

test("every family of attacks has some, and they are declared so that `npm run attack` finds them", () => {
  const files = globSync("{src,tools,clients,test}/**/*.test.ts", { cwd: root });
  const declared = new Set(files.flatMap(familiesIn));
  expect(families.filter((family) => !declared.has(family))).toEqual([]);
  const hidden = files.filter(
    (file) => /import \{[^}]*\battacksOn\b/.test(read(file)) && familiesIn(file).length === 0,
  );
  expect(hidden).toEqual([]);
});
