import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { knownAttacks } from "./known-attacks.ts";

/** `npm run attack`: performs every attack against the product and prints what happened. */

const root = join(import.meta.dirname, "..", "..");
const files = new Set(["test/security/", ...knownAttacks.map(({ file }) => file)]);
const escaped = knownAttacks.map(({ test }) => test.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
// The describes of test/security begin so; what else is in these files is not run.
const pattern = ["^attacks on", "^a bundle is refused", ...escaped.map((name) => `${name}$`)].join("|");
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
const words = ["run", ...files, "--testNamePattern", pattern, "--reporter", "./tools/dev/attack-reporter.ts"];
const { status } = spawnSync(process.execPath, [vitest, ...words], { cwd: root, stdio: "inherit" });
process.exitCode = status ?? 1;
