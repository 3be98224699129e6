import { createHash, timingSafeEqual } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, writeSync } from "node:fs";
import { totalmem } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileError, SignetError } from "../errors.ts";
import { type FileIdentity, identityOf, WatchedName } from "./file-identity.ts";
import { addSeals, createMemoryFile, isSealed, SystemCallError } from "./libc.ts";

/** What the vendor signed about one file. */
export interface ExpectedFile {
  readonly name: string;
  readonly size: number;
  /** Hex. Compared because the license names it; an attacker can make MD5 collide, so it decides nothing alone. */
  readonly md5: string;
  /** Hex. Decides. */
  readonly sha256: string;
}

/**
 * An immutable copy of a file in memory whose digests were taken after it was sealed: nobody, this
 * process included, can change what was checked. Loading goes through `fd`, never through `path`.
 */
export interface SealedFile {
  readonly name: string;
  readonly fd: number;
  readonly size: number;
  readonly sha256: string;
  /** Where the bytes came from, for people. */
  readonly path: string;
  /** Where second authorization looks for changes: the same file, also after its directory has moved. */
  readonly watched: WatchedName;
  /** The file on disk as it was just before it was read. */
  readonly identity: FileIdentity;
}

const CHUNK_BYTES = 1 << 20;

/** Work that may pause after every chunk of about 3 ms, so that whoever drives it can let others go first. */
export type Steps<Result> = Generator<void, Result, void>;

/** Does all of it without a pause. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Does it beside other work, which waits some milliseconds at a time. */
export async function runStepsAside<Result>(steps: Steps<Result>): Promise<Result> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await nextTurn();
  }
}

/**
 * The sealed copies of this process, one per content. In a process that loads libraries a descriptor is never
 * closed once its file may have been loaded: glibc remembers libraries by the path /proc/self/fd/N and would
 * return the old library for a new file that happens to get the same number.
 */
export class SealedFiles {
  readonly #fdBySha256 = new Map<string, number>();

  /**
   * Copies the file at `path` into sealed memory and compares size, MD5 and SHA-256 of the sealed copy.
   * @throws LIBRARY_MISSING, LIBRARY_NOT_REGULAR, LIBRARY_DIGEST_MISMATCH, LIBRARY_UNSEALABLE
   */
  seal(path: string, expected: ExpectedFile): SealedFile {
    return runSteps(this.sealInSteps(path, expected));
  }

  /** The same, chunk by chunk, for a process that serves meanwhile. @throws as `seal` does */
  *sealInSteps(path: string, expected: ExpectedFile): Steps<SealedFile> {
    const source = openRegularFile(path, expected.name);
    try {
      const identity = identityOf(source); // before a byte is read: what is written meanwhile makes it another
      verifySize(path, source, expected);
      let fd = this.#fdBySha256.get(expected.sha256);
      if (fd === undefined) {
        fd = yield* copyAndSeal(source, expected);
        try {
          compareDigests(path, yield* digestsInSteps(fd, expected.size), expected);
        } catch (error) {
          closeSync(fd); // safe: it was never loaded
          throw error;
        }
        this.#fdBySha256.set(expected.sha256, fd);
      } else {
        compareDigests(path, yield* digestsInSteps(source, expected.size), expected);
      }
      return {
        name: expected.name,
        fd,
        size: expected.size,
        sha256: expected.sha256,
        path,
        watched: WatchedName.at(path),
        identity,
      };
    } finally {
      closeSync(source);
    }
  }

  /**
   * Gives back the memory of every copy that is not among these. Only for a process that loads no library itself,
   * and not while anything is being sealed.
   */
  keepOnly(files: Iterable<SealedFile>): void {
    const kept = new Set(Array.from(files, ({ fd }) => fd));
    for (const [sha256, fd] of this.#fdBySha256) {
      if (kept.has(fd)) continue;
      this.#fdBySha256.delete(sha256);
      closeSync(fd);
    }
  }

  /** Seals a file as it is, for a vendor's own files that nobody has signed yet. @throws as `seal` does */
  sealUnchecked(path: string, name: string): SealedFile {
    const source = openRegularFile(realpath(path), name);
    try {
      const size = fstatSync(source).size;
      verifyFitsMemory(name, size);
      return this.seal(realpath(path), { name, size, ...digestsOfFd(source, size) });
    } finally {
      closeSync(source);
    }
  }
}

/** The bytes that were checked, whatever has become of the file on disk. */
export function readSealed(file: SealedFile): Buffer {
  const bytes = Buffer.allocUnsafe(file.size);
  for (let offset = 0; offset < bytes.length; ) {
    const read = readSync(file.fd, bytes, offset, bytes.length - offset, offset);
    if (read === 0) break;
    offset += read;
  }
  return bytes;
}

/** The vendor's own files may be links; a licensed file never is. */
function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // opening it says what is wrong
  }
}

/**
 * Hashes the file on disk again, because the kernel's facts about it are not those of the file that was sealed: a
 * touched or reinstalled file with the same bytes is accepted, with its new identity. Other work goes on meanwhile.
 * @throws LIBRARY_CHANGED
 */
export async function hashAgain(file: SealedFile, expected: ExpectedFile): Promise<SealedFile> {
  let source: number;
  try {
    source = openRegularFile(file.watched.path, file.name);
  } catch {
    throw new SignetError("LIBRARY_CHANGED", `${file.path} was removed or replaced by something that is not a file`);
  }
  try {
    const identity = identityOf(source);
    if (fstatSync(source).size === expected.size) {
      const found = await runStepsAside(digestsInSteps(source, expected.size));
      if (found.sha256 === expected.sha256 && found.md5 === expected.md5) {
        return { ...file, identity };
      }
    }
    throw new SignetError("LIBRARY_CHANGED", `${file.path} is no longer the file that was verified at start`);
  } finally {
    closeSync(source);
  }
}

/**
 * Compares a file on disk with what the vendor signed, for looking only: it may change the next moment, so nothing is
 * loaded on the strength of it. Takes no memory, and other work goes on meanwhile.
 * @throws LIBRARY_MISSING, LIBRARY_NOT_REGULAR, LIBRARY_DIGEST_MISMATCH
 */
export async function compareFile(path: string, expected: ExpectedFile): Promise<void> {
  const source = openRegularFile(path, expected.name);
  try {
    verifySize(path, source, expected);
    compareDigests(path, await runStepsAside(digestsInSteps(source, expected.size)), expected);
  } finally {
    closeSync(source);
  }
}

/** Opens without following a final link and without waiting on a pipe. */
function openRegularFile(path: string, name: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ELOOP") {
      throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: expected a regular file, found a symbolic link`);
    }
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new SignetError("LIBRARY_MISSING", `${name}: expected at ${path}, found nothing`);
    }
    if (code === "ENXIO") {
      throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: expected a regular file, found a device or socket`);
    }
    throw fileError(path, error);
  }
  if (!fstatSync(fd).isFile()) {
    closeSync(fd);
    throw new SignetError("LIBRARY_NOT_REGULAR", `${path}: expected a regular file, found a directory, device or pipe`);
  }
  return fd;
}

/** A sparse file takes no space on disk and any amount of memory. @throws LIBRARY_UNSEALABLE */
function verifyFitsMemory(name: string, size: number): void {
  if (size <= totalmem()) return;
  throw new SignetError(
    "LIBRARY_UNSEALABLE",
    `${name}: expected a file that fits into ${totalmem()} bytes of memory, found ${size} bytes`,
  );
}

function* copyAndSeal(source: number, expected: ExpectedFile): Steps<number> {
  verifyFitsMemory(expected.name, expected.size);
  let fd: number | undefined;
  try {
    fd = createMemoryFile(expected.name);
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(expected.size, 1)));
    let copied = 0;
    // Never more than was promised, even if the file grows while it is read.
    while (copied < expected.size) {
      const read = readSync(source, chunk, 0, Math.min(chunk.length, expected.size - copied), copied);
      if (read === 0) break;
      for (let written = 0; written < read; ) written += writeSync(fd, chunk, written, read - written);
      copied += read;
      yield;
    }
    addSeals(fd);
    if (!isSealed(fd)) throw new Error("the kernel did not keep the seals");
    return fd;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    const reason = error instanceof SystemCallError ? error.message : (error as Error).message;
    throw new SignetError("LIBRARY_UNSEALABLE", `${expected.name}: ${reason}`, { cause: error });
  }
}

/** MD5 and SHA-256 of the first `size` bytes of a file, hex. About 3 ms per MiB. */
function digestsOfFd(fd: number, size: number): FileDigests {
  return runSteps(digestsInSteps(fd, size));
}

type FileDigests = Pick<ExpectedFile, "md5" | "sha256">;

function* digestsInSteps(fd: number, size: number): Steps<FileDigests> {
  const md5 = createHash("md5");
  const sha256 = createHash("sha256");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = 0; offset < size; ) {
    const read = readSync(fd, chunk, 0, Math.min(chunk.length, size - offset), offset);
    if (read === 0) break;
    const bytes = chunk.subarray(0, read);
    md5.update(bytes);
    sha256.update(bytes);
    offset += read;
    yield;
  }
  return { md5: md5.digest("hex"), sha256: sha256.digest("hex") };
}

/** Before reading, so that a huge file in the place of a small one costs nothing. */
function verifySize(path: string, source: number, expected: ExpectedFile): void {
  const { size } = fstatSync(source);
  if (size !== expected.size) throw mismatch(path, "size", `${expected.size} bytes`, `${size} bytes`);
}

function compareDigests(path: string, found: { md5: string; sha256: string }, expected: ExpectedFile): void {
  if (!sameHex(found.sha256, expected.sha256)) throw mismatch(path, "SHA-256", expected.sha256, found.sha256);
  if (!sameHex(found.md5, expected.md5)) throw mismatch(path, "MD5", expected.md5, found.md5);
}

function sameHex(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function mismatch(path: string, what: string, expected: string, found: string): SignetError {
  return new SignetError("LIBRARY_DIGEST_MISMATCH", `${path}: expected ${what} ${expected}, found ${found}`);
}
