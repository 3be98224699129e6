import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { exchangeNames } from "../plugin/index.ts";
import { replaceDirectory } from "./replace-directory.ts";

function useDirectories(content: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "signet-replace-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(content)) {
    mkdirSync(join(root, name, "files"), { recursive: true });
    writeFileSync(join(root, name, "files", "a"), text);
  }
  return root;
}

function contentOf(root: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(root).map((name) => [name, readFileSync(join(root, name, "files", "a"), "utf8")]),
  );
}

describe.each([
  ["that exchanges names", exchangeNames],
  ["that cannot", () => false],
])("on a file system %s", (_, exchange) => {
  const replace = (root: string, keepPrevious = false) =>
    replaceDirectory(join(root, "now"), join(root, "new"), join(root, "previous"), keepPrevious, exchange);

  test("the first directory takes the name", async () => {
    const root = useDirectories({ new: "1" });
    expect(await replace(root)).toBe(false);
    expect(contentOf(root)).toEqual({ now: "1" });
  });

  test("the one before it is kept, the one before that is not", async () => {
    const root = useDirectories({ now: "2", new: "3", previous: "1" });
    expect(await replace(root)).toBe(true);
    expect(contentOf(root)).toEqual({ now: "3", previous: "2" });
  });

  test("the one before that is kept where it is still needed, and the one before it is not", async () => {
    const root = useDirectories({ now: "2", new: "3", previous: "1" });
    expect(await replace(root, true)).toBe(true);
    expect(contentOf(root)).toEqual({ now: "3", previous: "1" });
  });
});

test("two names that are not there cannot be exchanged", () => {
  expect(exchangeNames("/nowhere/a", "/nowhere/b")).toBe(false);
});
