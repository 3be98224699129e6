import { randomUUID } from "node:crypto";
import { renameSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, opendir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { fileError, SignetError } from "../errors.ts";
import type { Artifact, ArtifactPromise, ArtifactStore } from "./artifact-store.ts";
import { checkedRead } from "./checked-read.ts";
import { CheckedUpload, isDigest } from "./checked-upload.ts";

/** Where files are until they are whole, in the same file system as those that are. */
const INCOMING = "incoming";

/**
 * Artifacts in a directory, `ab/abcdef…` by their digest, for one process at a time. A file is written beside them,
 * hashed on its way, on disk before it gets its name, and put in the place of the one that has the name already: its
 * time is when it was put last.
 */
export class DirectoryStore implements ArtifactStore {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** Makes the directory if need be, and removes what a process that was killed left half. @throws STORE_UNAVAILABLE */
  static async open(root: string): Promise<DirectoryStore> {
    const incoming = join(root, INCOMING);
    try {
      await rm(incoming, { recursive: true, force: true });
      await mkdir(incoming, { recursive: true, mode: 0o700 });
      // All at once, so that no put needs to make sure that its folder is on disk.
      for (let at = 0; at < 256; at++) {
        await mkdir(join(root, at.toString(16).padStart(2, "0")), { recursive: true, mode: 0o700 });
      }
      await syncDirectory(root);
    } catch (error) {
      throw fileError(root, error, "STORE_UNAVAILABLE");
    }
    return new DirectoryStore(root);
  }

  async put(source: AsyncIterable<Uint8Array>, maxBytes: number, promise?: ArtifactPromise): Promise<Artifact> {
    const upload = new CheckedUpload(maxBytes, promise);
    const draft = this.#draftPath();
    const file = await onDisk(open(draft, "wx", 0o600));
    try {
      try {
        for await (const piece of source) {
          upload.add(piece);
          await onDisk(file.writeFile(piece));
        }
        const artifact = upload.end();
        await onDisk(finish(file));
        await onDisk(this.#publish(draft, artifact.sha256));
        return artifact;
      } finally {
        await onDisk(file.close());
      }
    } catch (error) {
      await rm(draft, { force: true }).catch(() => undefined); // what stays is removed at the next start
      throw error;
    }
  }

  async find(sha256: string): Promise<Artifact | undefined> {
    const bytes = isDigest(sha256) ? (await this.#stat(sha256))?.size : undefined;
    return bytes === undefined ? undefined : { sha256, bytes };
  }

  async read(sha256: string, range?: { readonly from: number; readonly bytes: number }): Promise<Readable> {
    const file = isDigest(sha256) ? await onDisk(orMissing(open(this.#path(sha256), "r"))) : undefined;
    if (file === undefined) throw new SignetError("ARTIFACT_NOT_FOUND", `artifact ${sha256.slice(0, 64)}: is not here`);
    try {
      const { size } = await onDisk(file.stat());
      const start = range?.from ?? 0;
      const bytes = Math.max(0, Math.min(range?.bytes ?? size, size - start));
      if (range !== undefined && bytes === 0) {
        await file.close();
        return Readable.from([], { objectMode: false });
      }
      const source = file.createReadStream(range === undefined ? {} : { start, end: start + bytes - 1 });
      return checkedRead(source, { sha256, bytes, isRange: range !== undefined }, inWords);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async remove(sha256: string, putBeforeMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (!isDigest(sha256)) return;
    const trash = this.#draftPath();
    // A put renames in this thread too, so that none comes between looking at the time and taking the name away.
    await onDisk(orMissing(async () => takeAway(this.#path(sha256), trash, putBeforeMs)));
    await onDisk(rm(trash, { force: true }));
  }

  async *list(): AsyncGenerator<Artifact & { readonly putMs: number }> {
    for await (const folder of entries(this.#root)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for await (const sha256 of entries(join(this.#root, folder))) {
        if (!isDigest(sha256) || !sha256.startsWith(folder)) continue;
        const found = await this.#stat(sha256);
        if (found !== undefined) yield { sha256, bytes: found.size, putMs: Math.round(found.mtimeMs) };
      }
    }
  }

  async #publish(draft: string, sha256: string): Promise<void> {
    const path = this.#path(sha256);
    renameSync(draft, path);
    await syncDirectory(dirname(path));
  }

  #stat(sha256: string) {
    return onDisk(orMissing(stat(this.#path(sha256))));
  }

  /** @param sha256 must be a digest */
  #path(sha256: string): string {
    return join(this.#root, sha256.slice(0, 2), sha256);
  }

  #draftPath(): string {
    return join(this.#root, INCOMING, randomUUID());
  }
}

/** The time is when it was whole, which may be long after its first bytes came, or its last. */
async function finish(file: FileHandle): Promise<void> {
  const now = new Date();
  await file.utimes(now, now);
  await file.sync();
}

function takeAway(path: string, trash: string, putBeforeMs: number): void {
  if (statSync(path).mtimeMs < putBeforeMs) renameSync(path, trash);
}

async function* entries(path: string): AsyncGenerator<string> {
  const directory = await onDisk(orMissing(opendir(path)));
  if (directory === undefined) return;
  try {
    for (;;) {
      const entry = await onDisk(directory.read());
      if (entry === null) return;
      yield entry.name;
    }
  } finally {
    await directory.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** undefined where there is no such file. */
async function orMissing<T>(act: Promise<T> | (() => Promise<T>)): Promise<T | undefined> {
  try {
    return await (typeof act === "function" ? act() : act);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Tells what the disk refuses from what a source or a caller fails with. Clients read it, so it names no path. */
async function onDisk<T>(act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (error) {
    throw inWords(error);
  }
}

function inWords(thrown: unknown): Error {
  return fileError("the directory of artifacts", thrown, "STORE_UNAVAILABLE");
}
