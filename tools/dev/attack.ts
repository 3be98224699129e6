import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startVitest } from "vitest/node";
import AttackReporter from "./attack-reporter.ts";

/** `npm run attack`: performs every attack on the product and prints what happened. */

const usage = `npm run attack -- [--family WORDS] [--json]
  --family WORDS  only the families with these words in their name, such as "ledger" or "by a plugin"
  --json          one JSON object a line for each attack
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

const { values, positionals } = parseArgs({
  options: {
    family: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    help: { type: "boolean" },
  },
  allowPositionals: true,
});
const files = filesWithAttacksOn(values.family);
if (values.help === true || positionals.length > 0 || files.length === 0) {
  process.stderr.write(usage);
  process.exitCode = values.help === true ? 0 : 2;
} else {
  const reporter = new AttackReporter(values);
  const vitest = await startVitest(files, {
    root,
    run: true,
    watch: false,
    tagsFilter: ["attack"],
    reporters: [reporter],
  });
  await vitest.close();
}
