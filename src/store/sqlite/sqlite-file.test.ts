import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { newJob, newJobs, useStore } from "../store.fixture.ts";
import { query, useFile } from "./sqlite.fixture.ts";

test("the files of the store are for their owner alone, and so is a directory that is made for them", async () => {
  const { file } = await useFile();
  const directory = join(dirname(file), "jobs", "store");
  const store = await useStore({ kind: "sqlite", file: join(directory, "store.sqlite") });
  await store.submit([newJob()], 10);
  const modes = readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mode & 0o777]);
  expect(Object.fromEntries(modes)).toEqual({
    "store.sqlite": 0o600,
    "store.sqlite-shm": 0o600,
    "store.sqlite-wal": 0o600,
  });
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

test.each([
  ["is no database", () => randomBytes(20_000)],
  ["has lost its first page", (bytes: Buffer) => bytes.fill(0, 0, 4096)],
  ["has lost all but its first page", (bytes: Buffer) => bytes.fill(7, 4096)],
])("a file that %s is unusable", async (_, damage) => {
  const { file, place } = await useFile();
  const store = await useStore(place);
  await store.submit(newJobs(100), 1000);
  await store.close();
  writeFileSync(file, damage(readFileSync(file)));
  await expect(useStore(place)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
});

test("a file that cannot be made is unavailable", async () => {
  const { file } = await useFile();
  writeFileSync(file, "");
  await expect(useStore({ kind: "sqlite", file: join(file, "store") })).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
  });
  mkdirSync(`${file}.d`);
  await expect(useStore({ kind: "sqlite", file: `${file}.d` })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
});

test("jobs that are forgotten give their room back to the disk", async () => {
  const { file, place } = await useFile();
  const store = await useStore(place);
  const inputs = { inline: randomBytes(60_000) };
  const jobs = await store.submit(newJobs(600, { inputs }), 1000);
  for (const { id } of jobs) await store.cancel(id);
  const pages = () => Number(query(file, "pragma page_count")[0]!.page_count);
  const before = pages();
  await store.prune({ maxAgeMs: Number.MAX_SAFE_INTEGER, maxBytes: 0 });
  expect(await store.load()).toEqual([]);
  expect(pages()).toBeLessThan(before * 0.6);
});

test("of verbs that share a transaction, each is done or not by itself", async () => {
  const { place } = await useFile();
  const store = await useStore(place);
  const calls = Array.from({ length: 40 }, (_, n) =>
    store.submit(newJobs(2, { identity: n % 2 === 0 ? "ada" : "bob" }), n % 2 === 0 ? 1000 : 1),
  );
  const results = await Promise.allSettled(calls);
  expect(results.map(({ status }) => status)).toEqual(results.map((_, n) => (n % 2 === 0 ? "fulfilled" : "rejected")));
  expect(await store.load()).toEqual([{ service: "ocr", queued: 40, running: 0 }]);
});

const canMount = process.getuid?.() === 0 && process.platform === "linux";

test.skipIf(!canMount)("a full disk refuses what does not fit, and keeps what was accepted", async () => {
  const { file } = await useFile();
  const directory = join(dirname(file), "small");
  mkdirSync(directory);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory]);
  onTestFinished(() => {
    execFileSync("umount", [directory]);
  });
  const store = await useStore({ kind: "sqlite", file: join(directory, "store.sqlite") });
  const accepted: string[] = [];
  const refusal = await (async () => {
    while (accepted.length < 1000) {
      const job = newJob({ inputs: { inline: randomBytes(20_000) } });
      try {
        await store.submit([job], 1e6);
      } catch (error) {
        return error;
      }
      accepted.push(job.id);
    }
  })();
  expect(refusal).toMatchObject({ code: "STORE_UNAVAILABLE", message: expect.stringContaining("full") });
  expect((await store.list({}, 1000, null)).jobs.map(({ id }) => id).toReversed()).toEqual(accepted);
  expect(accepted.length).toBeGreaterThan(0);
  await store.close();
});
