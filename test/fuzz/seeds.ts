import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The inputs that are kept of one target: one in a line, as JSON string where it is text, else in base64. They were
 * found by the fuzzer and hold no key and no license; what belongs to a run is marked in them and filled in then.
 */
function seedFile(target: string): string {
  return join(import.meta.dirname, "seeds", `${target}.txt`);
}

export function readSeeds(target: string): Buffer[] {
  const file = seedFile(target);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines
    .filter((line) => line !== "")
    .map((line) => (line.startsWith('"') ? Buffer.from(JSON.parse(line)) : Buffer.from(line, "base64")));
}

export function writeSeeds(target: string, seeds: readonly Buffer[]): void {
  writeFileSync(seedFile(target), seeds.map((seed) => `${formatSeed(seed)}\n`).join(""));
}

function formatSeed(seed: Buffer): string {
  const text = seed.toString();
  return Buffer.from(text).equals(seed) ? JSON.stringify(text) : seed.toString("base64");
}
