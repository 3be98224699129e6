import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import {
  artifactStoreConformance,
  bytesOf,
  digestOf,
  inPieces,
  listed,
  readAll,
  type StoreUnderTest,
} from "./artifact-store.conformance.ts";
import { DirectoryStore } from "./directory-store.ts";
import { openArtifactStore } from "./open-artifact-store.ts";

function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-artifacts-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "artifacts");
}

async function useStore(): Promise<StoreUnderTest> {
  const root = useDirectory();
  return {
    store: await DirectoryStore.open(root),
    damage: async (sha256, bytes) => writeFileSync(join(root, sha256.slice(0, 2), sha256), bytes),
    leftovers: async () => readdirSync(join(root, "incoming")),
  };
}

artifactStoreConformance(useStore);

test("files are named after their digests and for nobody else", async () => {
  const root = useDirectory();
  const store = await DirectoryStore.open(root);
  const { sha256 } = await store.put(inPieces(Buffer.from("abc")), 3);
  expect(sha256).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const { mode } = statSync(join(root, "ba", sha256));
  expect(mode & 0o777).toBe(0o600);
  expect(statSync(root).mode & 0o777).toBe(0o700);
  expect(statSync(join(root, "ba")).mode & 0o777).toBe(0o700);
});

test("a directory is what the configuration means by nothing", async () => {
  const root = useDirectory();
  const { sha256 } = await (await openArtifactStore(null, root, {})).put(inPieces(Buffer.from("abc")), 3);
  expect(await listed(await DirectoryStore.open(root))).toMatchObject([{ sha256, bytes: 3 }]);
});

test("what was put is there when the directory is opened again, and other files are no artifacts", async () => {
  const root = useDirectory();
  const { sha256 } = await (await DirectoryStore.open(root)).put(inPieces(Buffer.from("abc")), 3);
  writeFileSync(join(root, "notes.txt"), "");
  writeFileSync(join(root, "ba", "notes.txt"), "");
  writeFileSync(join(root, "ba", "0".repeat(64)), "in the wrong place");
  expect(await listed(await DirectoryStore.open(root))).toMatchObject([{ sha256, bytes: 3 }]);
});

test("an artifact that is removed while it is read is read to its end, and leaves no file open", async () => {
  const { store } = await useStore();
  const content = bytesOf(2 ** 20, "removed");
  const { sha256 } = await store.put(inPieces(content), content.length);
  const opened = openFiles();
  const warnings: string[] = [];
  const onWarning = ({ message }: Error) => warnings.push(message);
  process.on("warning", onWarning);
  onTestFinished(() => void process.off("warning", onWarning));
  const stream = await store.read(sha256);
  const unread = await store.read(sha256);
  await store.remove(sha256);
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  expect(digestOf(Buffer.concat(pieces))).toBe(sha256);
  unread.destroy();
  await expect.poll(openFiles).toEqual(opened);
  // Node would close them when it collects garbage, and says so.
  expect(warnings).toEqual([]);
});

test("a process that is killed loses nothing it was told is there, and what it left half is removed", async () => {
  const root = useDirectory();
  const program = join(import.meta.dirname, "directory-store.kill-program.ts");
  for (let round = 1; round <= 3; round++) {
    const child = spawn(process.execPath, [program, root, `round ${round}`], { stdio: ["ignore", "pipe", "inherit"] });
    const kept: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      kept.push(line);
      if (kept.length === 10 * round) child.kill("SIGKILL");
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    expect(child.signalCode).toBe("SIGKILL");
    // One of them never ends.
    expect(readdirSync(join(root, "incoming")).length).toBeGreaterThan(0);

    const store = await DirectoryStore.open(root);
    expect(readdirSync(join(root, "incoming"))).toEqual([]);
    for (const sha256 of kept) expect(digestOf(await readAll(store, sha256))).toBe(sha256);
    for (const { sha256 } of await listed(store)) expect(digestOf(await readAll(store, sha256))).toBe(sha256);
  }
});

describe("a directory that cannot be used", () => {
  test("because it is a file, or below one", async () => {
    const root = useDirectory();
    writeFileSync(root, "");
    expect(await codeOfAsync(() => DirectoryStore.open(root))).toBe("STORE_UNAVAILABLE");
    expect(await codeOfAsync(() => DirectoryStore.open(join(root, "below")))).toBe("STORE_UNAVAILABLE");
  });

  test("because it vanished", async () => {
    const root = useDirectory();
    const store = await DirectoryStore.open(root);
    rmSync(root, { recursive: true });
    expect(await codeOfAsync(() => store.put(inPieces(Buffer.from("abc")), 3))).toBe("STORE_UNAVAILABLE");
    expect(await listed(store)).toEqual([]);
  });

  test.skipIf(!canMount())("because its disk is full, until there is room again", async () => {
    const root = useDirectory();
    execFileSync("mkdir", [root]);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", root]);
    onTestFinished(() => void execFileSync("umount", ["-l", root]));
    const store = await DirectoryStore.open(root);
    const small = await store.put(inPieces(bytesOf(2 ** 20, "small")), 2 ** 20);
    const large = store.put(inPieces(bytesOf(6 * 2 ** 20, "large")), 2 ** 30);
    await expect(large).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: expect.stringContaining("the disk is full"),
    });
    await expect(large).rejects.not.toMatchObject({ message: expect.stringContaining(root) });
    expect(readdirSync(join(root, "incoming"))).toEqual([]);
    expect(await listed(store)).toMatchObject([small]);
    await store.put(inPieces(bytesOf(2 * 2 ** 20, "fits")), 2 ** 30);
  });
});

function openFiles(): string[] {
  return readdirSync("/proc/self/fd").sort();
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  const root = mkdtempSync(join(tmpdir(), "signet-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", root], { stdio: "ignore" });
    execFileSync("umount", [root]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
