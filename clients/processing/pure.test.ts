import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const folder = import.meta.dirname;
const sources = readdirSync(folder).filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));

/** What a source uses beyond its own folder and the language: imports, and globals that only Node has. */
function foreignUses(source: string): string[] {
  const imports = [...source.matchAll(/(?:\bfrom |\bimport |\bimport\()"([^"]+)"(?:;|\))/g)].map((match) => match[1]!);
  const globals = [...source.matchAll(/\b(Buffer|process\.|require\(|__dirname|import\.meta)/g)].map(
    (match) => match[0],
  );
  return [...imports.filter((name) => !/^\.\/[a-z0-9-]+\.ts$/.test(name)), ...globals];
}

test("the check finds what does not belong here", () => {
  const source =
    'import { a } from "node:fs";\nexport { b } from "../node/index.ts";\nBuffer.from(await import("sharp"));';
  expect(foreignUses(source)).toEqual(["node:fs", "../node/index.ts", "sharp", "Buffer"]);
  expect(foreignUses('import { a } from "./image.ts";')).toEqual([]);
});

test.each(sources)("%s runs in a browser as well", (file) => {
  expect(foreignUses(readFileSync(join(folder, file), "utf8"))).toEqual([]);
});
