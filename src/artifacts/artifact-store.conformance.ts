import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import type { Artifact, ArtifactStore } from "./artifact-store.ts";

/** A store that is empty, and what only its tests may do to it. */
export interface StoreUnderTest {
  readonly store: ArtifactStore;
  /** Writes other bytes in the place of those of an artifact. */
  damage(sha256: string, bytes: Uint8Array): Promise<void>;
  /** Names of what it keeps that is no artifact. */
  leftovers(): Promise<readonly string[]>;
}

const MIB = 2 ** 20;
const NO_LIMIT = 2 ** 40;

/** What every store of artifacts does. */
export function artifactStoreConformance(useStore: () => Promise<StoreUnderTest>): void {
  describe("an artifact", () => {
    test.each([0, 1, 65_537, 5 * MIB, 5 * MIB + 1, 10 * MIB, 13 * MIB + 7])(
      "of %i bytes comes back as it was put",
      async (bytes) => {
        const { store } = await useStore();
        const content = bytesOf(bytes, "whole");
        const sha256 = digestOf(content);
        expect(await store.put(inPieces(content, 100_000), bytes)).toEqual({ sha256, bytes });
        expect(await store.find(sha256)).toEqual({ sha256, bytes });
        expect(digestOf(await readAll(store, sha256))).toBe(sha256);
      },
    );

    test("may be promised, by its digest, its size or both", async () => {
      const { store } = await useStore();
      for (const bytes of [3, 12 * MIB]) {
        const content = bytesOf(bytes, `promised ${bytes}`);
        const sha256 = digestOf(content);
        for (const promise of [
          { sha256, bytes: null },
          { sha256: null, bytes },
          { sha256, bytes },
        ]) {
          expect(await store.put(inPieces(content), bytes, promise)).toEqual({ sha256, bytes });
          expect(digestOf(await readAll(store, sha256))).toBe(sha256);
        }
      }
    });

    test("that is put twice, or by many at once, is there once", async () => {
      const { store, leftovers } = await useStore();
      for (const bytes of [10, 11 * MIB]) {
        const content = bytesOf(bytes, "the same");
        const puts = Array.from({ length: 4 }, (_, at) => store.put(inPieces(content, 70_000 + at), NO_LIMIT));
        expect(new Set((await Promise.all(puts)).map(({ sha256 }) => sha256))).toEqual(new Set([digestOf(content)]));
      }
      expect((await listed(store)).map(({ bytes }) => bytes).sort()).toEqual([10, 11 * MIB]);
      expect(await leftovers()).toEqual([]);
    });

    test.each([
      [0, 10],
      [1, 1],
      [4_999_999, 2],
      [5 * MIB - 1, 3],
      [11 * MIB - 5, 5],
      [11 * MIB - 5, 500],
      [11 * MIB, 1],
      [12 * MIB, 1],
      [0, 0],
      [7, 0],
    ])("can be read from %i on, %i bytes or as many as there are", async (from, bytes) => {
      const { store } = await useStore();
      const content = bytesOf(11 * MIB, "ranges");
      const { sha256 } = await store.put(inPieces(content), NO_LIMIT);
      expect(await readAll(store, sha256, { from, bytes })).toEqual(content.subarray(from, from + bytes));
    });

    test("of no bytes has empty ranges", async () => {
      const { store } = await useStore();
      const { sha256 } = await store.put(inPieces(Buffer.alloc(0)), 0);
      expect(await readAll(store, sha256, { from: 0, bytes: 5 })).toHaveLength(0);
    });

    test("is listed with its size and when it was put last", async () => {
      const { store } = await useStore();
      expect(await listed(store)).toEqual([]);
      const kept = await store.put(inPieces(Buffer.from("kept")), 10);
      const [first] = await listed(store);
      expect(first).toMatchObject(kept);
      // As long as the coarsest clock of a store takes for its next step.
      for (let renewedMs = first!.putMs; renewedMs === first!.putMs; ) {
        const again = Date.now();
        await store.put(inPieces(Buffer.from("kept")), 10);
        const [renewed, ...others] = await listed(store);
        expect(others).toEqual([]);
        expect(renewed!.putMs).toBeGreaterThanOrEqual(again);
        renewedMs = renewed!.putMs;
      }
    });

    test("that is removed is gone, which may happen twice", async () => {
      const { store, leftovers } = await useStore();
      const [gone, kept] = [
        await store.put(inPieces(Buffer.from("a")), 1),
        await store.put(inPieces(Buffer.from("b")), 1),
      ];
      await store.remove(gone.sha256);
      await store.remove(gone.sha256);
      expect(await store.find(gone.sha256)).toBeUndefined();
      expect(await codeOfAsync(() => store.read(gone.sha256))).toBe("ARTIFACT_NOT_FOUND");
      expect(await listed(store)).toMatchObject([kept]);
      expect(await leftovers()).toEqual([]);
    });

    test("that was put after a time is not removed for being older", async () => {
      const { store } = await useStore();
      const before = Date.now();
      const { sha256 } = await store.put(inPieces(Buffer.from("late")), 10);
      await store.remove(sha256, before);
      expect(await store.find(sha256)).toBeDefined();
      await store.remove(sha256, before + 60_000);
      expect(await store.find(sha256)).toBeUndefined();
    });

    test("whose bytes others exchanged is not read to its end", async () => {
      const { store, damage } = await useStore();
      const content = bytesOf(2 * MIB, "before");
      const { sha256 } = await store.put(inPieces(content), NO_LIMIT);
      for (const exchanged of [bytesOf(2 * MIB, "after"), content.subarray(1), Buffer.concat([content, content])]) {
        await damage(sha256, exchanged);
        expect(await codeOfAsync(() => readAll(store, sha256))).toBe("STORE_UNUSABLE");
      }
      await store.put(inPieces(content), NO_LIMIT);
      expect(digestOf(await readAll(store, sha256))).toBe(sha256);
    });
  });

  describe("what is not there", () => {
    test.each([
      ["a digest", "0".repeat(64)],
      ["capitals", "A".repeat(64)],
      ["a digit too few", "0".repeat(63)],
      ["a digit too many", "0".repeat(65)],
      ["a line", `${"0".repeat(64)}\n`],
      ["nothing", ""],
      ["a directory", ".."],
      ["a way out", `../../../../etc/${"a".repeat(48)}`],
      ["a place of its own", "incoming"],
      ["more than a name may have", "a".repeat(100_000)],
    ])("has no place in it, whatever it is called: %s", async (_, name) => {
      const { store } = await useStore();
      expect(await store.find(name)).toBeUndefined();
      expect(await codeOfAsync(() => store.read(name))).toBe("ARTIFACT_NOT_FOUND");
      expect(await codeOfAsync(() => store.read(name, { from: 0, bytes: 1 }))).toBe("ARTIFACT_NOT_FOUND");
      await store.remove(name);
    });
  });

  describe("of what is refused nothing is kept:", () => {
    const small = bytesOf(1000, "refused");
    const large = bytesOf(12 * MIB, "refused");
    const other = digestOf(Buffer.from("other"));

    test.each([
      ["other bytes", "ARTIFACT_MISMATCH", { sha256: other, bytes: null }, 0],
      ["fewer bytes", "ARTIFACT_MISMATCH", { sha256: null, bytes: 1 }, +1],
      ["more bytes", "ARTIFACT_MISMATCH", { sha256: null, bytes: 1 }, -1],
    ])("%s than promised", async (_, code, { sha256 }, difference) => {
      for (const content of [small, large]) {
        const { store, leftovers } = await useStore();
        const bytes = difference === 0 ? null : content.length + difference;
        expect(await codeOfAsync(() => store.put(inPieces(content), NO_LIMIT, { sha256, bytes }))).toBe(code);
        expect(await listed(store)).toEqual([]);
        expect(await leftovers()).toEqual([]);
      }
    });

    test("more than there may be, as soon as it has come", async () => {
      for (const maxBytes of [0, 2 * MIB, 9 * MIB]) {
        const { store, leftovers } = await useStore();
        const source = countPieces(inPieces(large, 64 * 1024));
        expect(await codeOfAsync(() => store.put(source, maxBytes))).toBe("ARTIFACT_TOO_LARGE");
        expect(source.pieces).toBe(maxBytes / (64 * 1024) + 1);
        expect(source.isEnded).toBe(true);
        expect(await listed(store)).toEqual([]);
        expect(await leftovers()).toEqual([]);
      }
    });

    test.each([
      ["too much", "ARTIFACT_TOO_LARGE", { sha256: null, bytes: 101 }],
      ["no digest", "ARTIFACT_MISMATCH", { sha256: `../${"a".repeat(61)}`, bytes: null }],
      ["a digest in another form", "ARTIFACT_MISMATCH", { sha256: "A".repeat(64), bytes: null }],
    ])("a promise of %s, before anything has come", async (_, code, promise) => {
      const { store } = await useStore();
      const source = countPieces(inPieces(small));
      expect(await codeOfAsync(() => store.put(source, 100, promise))).toBe(code);
      expect(source.pieces).toBe(0);
    });

    test("what a source failed at, with what it failed with", async () => {
      for (const after of [0, 1, 9 * MIB]) {
        const { store, leftovers } = await useStore();
        const failure = new Error("the client went away");
        await expect(store.put(failing(after, failure), NO_LIMIT)).rejects.toBe(failure);
        expect(await listed(store)).toEqual([]);
        expect(await leftovers()).toEqual([]);
      }
    });
  });

  test("300 MiB go in and out without ever being in memory together", { timeout: 300_000 }, async () => {
    const { store } = await useStore();
    const memory = watchMemory();
    const pieces = async function* () {
      for (let at = 0; at < 300; at++) {
        if (at % 20 === 0) memory.look();
        yield Buffer.alloc(MIB, at);
      }
    };
    const { sha256, bytes } = await store.put(pieces(), 300 * MIB);
    expect(bytes).toBe(300 * MIB);
    let seen = 0;
    for await (const piece of await store.read(sha256)) {
      if (Math.floor((seen + (piece as Buffer).length) / (20 * MIB)) > Math.floor(seen / (20 * MIB))) memory.look();
      seen += (piece as Buffer).length;
    }
    expect(seen).toBe(300 * MIB);
    expect(memory.mostBytes).toBeLessThan(40 * MIB);
  });

  test("whoever reads slowly, or stops, has little of it in memory", async () => {
    const { store } = await useStore();
    const { sha256 } = await store.put(inPieces(bytesOf(64 * MIB, "slow")), NO_LIMIT);
    const memory = watchMemory();
    const streams = await Promise.all(Array.from({ length: 4 }, () => store.read(sha256)));
    for (const stream of streams) {
      const pieces = stream[Symbol.asyncIterator]();
      await pieces.next();
      memory.look();
      await pieces.return?.();
    }
    expect(memory.mostBytes).toBeLessThan(32 * MIB);
    expect(streams.every(({ destroyed }) => destroyed)).toBe(true);
  });
}

/** Bytes that are the same for the same words, and in no place like in another. */
export function bytesOf(length: number, words: string): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let block = createHash("sha512").update(words).digest();
  for (let at = 0; at < length; at += block.length) {
    block.copy(bytes, at);
    if (at % 4096 === 0) block = createHash("sha512").update(block).digest();
    else block.writeUInt32LE(at);
  }
  return bytes;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function* inPieces(content: Buffer, pieceBytes = 256 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

export async function readAll(
  store: ArtifactStore,
  sha256: string,
  range?: { readonly from: number; readonly bytes: number },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of await store.read(sha256, range)) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export async function listed(store: ArtifactStore) {
  const all: (Artifact & { readonly putMs: number })[] = [];
  for await (const artifact of store.list()) all.push(artifact);
  return all;
}

async function* failing(after: number, failure: Error): AsyncGenerator<Uint8Array> {
  yield* inPieces(bytesOf(after, "failing"));
  throw failure;
}

/** Says how much was taken of a source, and whether it was told that no more will be. */
function countPieces(source: AsyncGenerator<Uint8Array>) {
  const counted = {
    pieces: 0,
    isEnded: false,
    async *[Symbol.asyncIterator]() {
      try {
        for await (const piece of source) {
          counted.pieces++;
          yield piece;
        }
      } finally {
        counted.isEnded = true;
      }
    },
  };
  return counted;
}

/** Bytes of buffers that somebody still holds, beyond those at the beginning. */
function watchMemory() {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const held = () => {
    collect();
    collect(); // what the first one found is given back by another thread, which the second waits for
    return process.memoryUsage().arrayBuffers;
  };
  const before = held();
  const watched = {
    mostBytes: 0,
    look() {
      watched.mostBytes = Math.max(watched.mostBytes, held() - before);
    },
  };
  return watched;
}
