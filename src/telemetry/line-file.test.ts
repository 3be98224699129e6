import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openLineFile, type Rotation, rotatedName } from "./line-file.ts";
import { createLog } from "./log.ts";

function useFile(rotation: Rotation) {
  const directory = mkdtempSync(join(tmpdir(), "signet-lines-"));
  const file = join(directory, "ocr.jsonl");
  const lines = openLineFile({
    file,
    what: "a log",
    log: createLog({ level: "silent", format: "json" }),
    rotation,
  });
  onTestFinished(async () => {
    await lines.close();
    rmSync(directory, { recursive: true });
  });
  return { directory, file, lines };
}

test("a file that is full is followed by another, and the oldest of too many goes", async () => {
  const { directory, file, lines } = useFile({ maxBytes: 100, files: 3 });
  for (let number = 0; number < 100; number++) {
    lines.append(`line ${String(number).padStart(4, "0")}`);
    if (number % 7 === 0) await lines.flush();
  }
  await lines.flush();
  expect(readdirSync(directory).sort()).toEqual(["ocr.jsonl", "ocr.jsonl.1", "ocr.jsonl.2"]);
  const kept = [2, 1, 0].flatMap((number) => readFileSync(rotatedName(file, number), "utf8").trimEnd().split("\n"));
  // Without a gap up to the last one.
  expect(kept).toEqual(
    Array.from({ length: kept.length }, (_, index) => `line ${String(100 - kept.length + index).padStart(4, "0")}`),
  );
  for (const number of [0, 1, 2]) expect(statSync(rotatedName(file, number)).size).toBeLessThanOrEqual(100);
});

test("with one file only the newest lines are kept", async () => {
  const { directory, file, lines } = useFile({ maxBytes: 20, files: 1 });
  for (const line of ["first line", "second line", "third line"]) lines.append(line);
  await lines.flush();
  expect(readdirSync(directory)).toEqual(["ocr.jsonl"]);
  expect(readFileSync(file, "utf8")).toBe("third line\n");
});
