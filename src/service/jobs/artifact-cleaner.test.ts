import { mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openArtifactStore } from "../../artifacts/index.ts";
import { openStore } from "../../store/index.ts";
import { newJob } from "../../store/store.fixture.ts";
import { ArtifactCleaner } from "./artifact-cleaner.ts";

const DAY_MS = 86_400_000;

async function useCleaner() {
  const directory = mkdtempSync(join(tmpdir(), "signet-test-cleaner-"));
  const store = await openStore({ kind: "sqlite", file: join(directory, "store.sqlite") });
  const artifacts = await openArtifactStore(null, join(directory, "artifacts"));
  onTestFinished(async () => {
    await store.close();
    rmSync(directory, { recursive: true });
  });
  /** Something that was uploaded so long ago. */
  const put = async (text: string, agoMs: number) => {
    async function* source() {
      yield Buffer.from(text);
    }
    const { sha256 } = await artifacts.put(source(), 1000);
    const time = new Date(Date.now() - agoMs);
    utimesSync(join(directory, "artifacts", sha256.slice(0, 2), sha256), time, time);
    return sha256;
  };
  const left = async (...digests: readonly string[]) =>
    await Promise.all(digests.map(async (sha256) => (await artifacts.find(sha256)) !== undefined));
  return { store, put, left, cleaner: new ArtifactCleaner(artifacts, store) };
}

test("uploads that no job came for go after a day; those of jobs stay", async () => {
  const { store, put, left, cleaner } = await useCleaner();
  const [fresh, old, used] = await Promise.all([put("fresh", 0), put("old", 2 * DAY_MS), put("used", 2 * DAY_MS)]);
  await store.submit([newJob({ artifacts: [used] })], 10);
  await cleaner.cleanUploads();
  expect(await left(fresh, old, used)).toEqual([true, false, true]);
});

test("what a job left stays where it was just put again, or where a job is being submitted with it", async () => {
  const { put, left, cleaner } = await useCleaner();
  const [again, held, gone] = await Promise.all([put("again", 0), put("held", DAY_MS), put("gone", DAY_MS)]);
  const release = cleaner.hold([held, held]);
  await cleaner.clean([again, held, gone]);
  expect(await left(again, held, gone)).toEqual([true, true, false]);
  release();
  await cleaner.clean([held]);
  expect(await left(held)).toEqual([false]);
});
