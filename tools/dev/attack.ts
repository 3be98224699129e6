import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startVitest } from "vitest/node";
import { families } from "./attack-record.ts";
import AttackReporter, { type AttackTableOptions } from "./attack-reporter.ts";

/** `npm run attack`: performs every attack on the product and prints what happened. */

const usage = `npm run attack -- [--family WORDS] [--json]
  --family WORDS  only the families with these words in their name, such as "ledger" or "by a plugin"
  --json          one JSON object a line for each attack; with npm run --silent nothing else is on stdout
Attacks on ${families.join(", ")}.
`;

const root = join(import.meta.dirname, "..", "..");

/** The test files with attacks on such a family; the others need not even be loaded. */
function filesWithAttacksOn(words: string): string[] {
  const files = globSync("{src,tools,clients,test}/**/*.test.ts", { cwd: root });
  return files.filter((file) => {
    const declared = readFileSync(join(root, file), "utf8").matchAll(/\battacksOn\("([^"]+)"\)/g);
    return [...declared].some(([, family]) => family!.includes(words));
  });
}

/** null for words that mean nothing here. */
function readWords(): AttackTableOptions | null {
  try {
    const family = { type: "string", default: "" } as const;
    return parseArgs({ options: { family, json: { type: "boolean", default: false } } }).values;
  } catch {
    return null;
  }
}

const options = readWords();
const files = options === null ? [] : filesWithAttacksOn(options.family);
if (options === null || files.length === 0) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  const reporters = [new AttackReporter(options)];
  const vitest = await startVitest(files, {
    root,
    run: true,
    watch: false,
    project: ["signet"],
    tagsFilter: ["attack"],
    reporters,
  });
  await vitest.close();
}
