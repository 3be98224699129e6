import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { useDirectory } from "../../test/helpers/crooked.ts";
import { LicenseDirectory, versionOf } from "./license-directory.ts";

function useLicense(): { root: string; license: string } {
  const root = useDirectory();
  const license = join(root, "license");
  mkdirSync(join(license, "files", "ocr"), { recursive: true });
  writeFileSync(join(license, "license.lic"), "a license");
  writeFileSync(join(license, "files", "ocr", "model"), "a model");
  return { root, license };
}

describe("the version of what is installed", () => {
  test("stays the same while nothing changes, and where it only moves away and back", async () => {
    const { root, license } = useLicense();
    const before = await versionOf([license]);
    renameSync(license, join(root, "elsewhere"));
    expect(await versionOf([license])).not.toBe(before);
    renameSync(join(root, "elsewhere"), license);
    expect(await versionOf([license])).toBe(before);
  });

  test.each<[string, (license: string) => void]>([
    ["is written", (license) => appendFileSync(join(license, "files", "ocr", "model"), "x")],
    ["is touched", (license) => utimesSync(join(license, "files", "ocr", "model"), 1, 1)],
    ["is added", (license) => writeFileSync(join(license, "files", "ocr", "other"), "")],
    ["is removed", (license) => rmSync(join(license, "files", "ocr", "model"))],
    [
      "is replaced by one with the same name and size",
      (license) => {
        writeFileSync(join(license, "new"), "a license");
        renameSync(join(license, "new"), join(license, "license.lic"));
      },
    ],
  ])("changes when a file %s", async (_, change) => {
    const { license } = useLicense();
    const before = await versionOf([license]);
    change(license);
    expect(await versionOf([license])).not.toBe(before);
  });
});

test("a directory that is held leads to its own files when another takes its name", () => {
  const { root, license } = useLicense();
  const held = LicenseDirectory.open(license)!;
  onTestFinished(() => held.close());
  expect(held.isInstalled).toBe(true);
  renameSync(license, join(root, "license.previous"));
  expect(held.isInstalled).toBe(false);
  mkdirSync(license);
  expect(held.isInstalled).toBe(false);
  expect(readFileSync(`/proc/self/fd/${held.fd}/license.lic`, "utf8")).toBe("a license");
});

test("a directory that is not there cannot be held", () => {
  expect(LicenseDirectory.open("/nowhere/license")).toBeNull();
});
