import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SignetError } from "../errors.ts";
import { quoteName, type RegionPlace } from "../tensor/index.ts";
import type { Identity } from "./access.ts";
import { ReadBuffers } from "./read-buffers.ts";

export interface RegionDescription {
  /** What its owner calls it. */
  readonly name: string;
  /** Its name in /dev/shm, as it was given. */
  readonly key: string;
  /** Where it begins in that object, bytes. */
  readonly offset: number;
  readonly byteSize: number;
}

/** A place that stays readable and writable until it is released, whoever unregisters its region meanwhile. */
export interface RegionWindow {
  /**
   * A copy of the bytes as they are now; what the client does to them later changes nothing. It is good until the window
   * is released: then its memory is used again.
   * @throws SHARED_MEMORY_INVALID
   */
  read(): Uint8Array;
  /** Writes from the place's beginning. @throws SHARED_MEMORY_INVALID where there is more than room */
  write(data: Uint8Array): void;
  release(): void;
}

export interface SharedMemoryOptions {
  readonly isEnabled: boolean;
  /** For tests. */
  readonly directory?: string;
}

interface Region extends RegionDescription {
  readonly fd: number;
  /** Windows that are open; the last one closes the descriptor of a region that was unregistered. */
  users: number;
  isRegistered: boolean;
}

/** Each region is an open file. */
export const MAX_REGIONS_OF_ONE = 64;
const MAX_REGIONS = 1024;

/**
 * Regions of POSIX shared memory that clients on this machine lend the server for their tensors. Each belongs to the
 * identity that registered it, and nobody else can name it.
 *
 * They are read and written as files and never mapped: a client can shorten its object at any moment, and touching a
 * mapping beyond the end of its file would end this process. See docs/decisions/0014-shared-memory.md.
 */
export class SharedMemory {
  readonly #options: SharedMemoryOptions;
  readonly #regions = new Map<string, Map<string, Region>>();
  readonly #buffers = new ReadBuffers();
  #count = 0;

  constructor(options: SharedMemoryOptions) {
    this.#options = options;
  }

  get isEnabled(): boolean {
    return this.#options.isEnabled;
  }

  /**
   * @param user the user of the operating system that the client's process runs as; null where the client is on another
   *   machine or that cannot be known
   * @throws PERMISSION_DENIED, SHARED_MEMORY_OFF, SHARED_MEMORY_INVALID, SHARED_MEMORY_EXISTS, SHARED_MEMORY_FULL
   */
  register(identity: Identity, user: number | null, description: RegionDescription): void {
    identity.require("share");
    this.#verifyEnabled();
    const { name } = description;
    const own = this.#regions.get(identity.id) ?? new Map<string, Region>();
    if (own.has(name)) throw new SignetError("SHARED_MEMORY_EXISTS", `region ${quoteName(name)}: registered already`);
    if (own.size >= MAX_REGIONS_OF_ONE || this.#count >= MAX_REGIONS) {
      const words = `expected at most ${MAX_REGIONS_OF_ONE} regions of a caller and ${MAX_REGIONS} in all`;
      throw new SignetError("SHARED_MEMORY_FULL", words);
    }
    if (name === "") throw invalid("region: expected a name, found none");
    const fd = openObject(this.#options.directory ?? "/dev/shm", user, description);
    own.set(name, { ...description, fd, users: 0, isRegistered: true });
    this.#regions.set(identity.id, own);
    this.#count++;
  }

  /**
   * The caller's region of that name; all of its regions for an empty one.
   * @throws PERMISSION_DENIED, SHARED_MEMORY_NOT_FOUND
   */
  status(identity: Identity, name: string): RegionDescription[] {
    identity.require("share");
    const own = this.#regions.get(identity.id);
    if (name === "") return [...(own?.values() ?? [])];
    return [this.#find(identity, name)];
  }

  /**
   * Forgets one region of the caller, or for an empty name all of them. One that is not there is none.
   * @throws PERMISSION_DENIED
   */
  unregister(identity: Identity, name: string): void {
    identity.require("share");
    const own = this.#regions.get(identity.id);
    if (own === undefined) return;
    for (const region of [...own.values()]) {
      if (name !== "" && region.name !== name) continue;
      own.delete(region.name);
      this.#count--;
      region.isRegistered = false;
      closeUnused(region);
    }
    if (own.size === 0) this.#regions.delete(identity.id);
  }

  /** @throws SHARED_MEMORY_OFF, SHARED_MEMORY_NOT_FOUND, SHARED_MEMORY_INVALID where it lies outside its region */
  open(identity: Identity, place: RegionPlace): RegionWindow {
    this.#verifyEnabled();
    const region = this.#find(identity, place.region);
    const { offset, byteSize } = place;
    if (!isBytes(offset) || !isBytes(byteSize) || offset + byteSize > region.byteSize) {
      const words = `expected a place within its ${region.byteSize} bytes, found ${byteSize} bytes at ${offset}`;
      throw invalid(`region ${quoteName(region.name)}: ${words}`);
    }
    region.users++;
    let isReleased = false;
    const taken: Buffer[] = [];
    return {
      read: () => {
        const buffer = this.#buffers.take(byteSize);
        taken.push(buffer);
        const data = buffer.subarray(0, byteSize);
        readAt(region, region.offset + offset, data);
        return data;
      },
      write: (data) => {
        if (data.byteLength > byteSize) {
          const words = `expected room for ${data.byteLength} bytes of output, found ${byteSize}`;
          throw invalid(`region ${quoteName(region.name)}: ${words}`);
        }
        writeAt(region, region.offset + offset, data);
      },
      release: () => {
        if (isReleased) return;
        isReleased = true;
        region.users--;
        closeUnused(region);
        for (const buffer of taken) this.#buffers.give(buffer);
      },
    };
  }

  #verifyEnabled(): void {
    if (!this.#options.isEnabled) {
      throw new SignetError(
        "SHARED_MEMORY_OFF",
        "expected tensors in messages, found shared memory, which is off here",
      );
    }
  }

  #find({ id }: Identity, name: string): Region {
    const region = this.#regions.get(id)?.get(name);
    // The words are Triton's.
    if (region) return region;
    throw new SignetError("SHARED_MEMORY_NOT_FOUND", `Unable to find system shared memory region: ${quoteName(name)}`);
  }
}

/**
 * Opens an object of /dev/shm for a client. One that is not there and one that is not the client's are told apart in
 * nothing, so that nobody can find out what others have there.
 */
function openObject(
  directory: string,
  user: number | null,
  { name, key, offset, byteSize }: RegionDescription,
): number {
  const where = `region ${quoteName(name)}`;
  if (user === null) throw invalid(`${where}: expected a client on this machine, found one that is not known to be`);
  // shm_open() takes no other slash either; what is left cannot lead out of the directory.
  const file = key.replace(/^\//, "");
  if (file === "" || file === "." || file === ".." || /[/\0]/.test(file) || Buffer.byteLength(file) > 255) {
    throw invalid(`${where}: expected a key as shm_open() takes it, found ${quoteName(key)}`);
  }
  if (!isBytes(offset) || !isBytes(byteSize) || byteSize === 0) {
    throw invalid(`${where}: expected an offset and a size in bytes, found ${offset} and ${byteSize}`);
  }
  const refusal = `${where}: expected an object of shared memory that the client's user owns and the server may open`;
  let fd: number;
  try {
    // No link is followed, and a pipe does not make the server wait.
    fd = openSync(join(directory, file), constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw invalid(refusal, cause);
  }
  try {
    const stats = fstatSync(fd);
    // Root is no exception: proxies run as root, and who comes through one has its user.
    if (!stats.isFile() || stats.uid !== user) throw invalid(refusal);
    if (offset + byteSize > stats.size) {
      throw invalid(
        `${where}: expected ${byteSize} bytes at ${offset} of ${quoteName(key)}, found ${stats.size} in all`,
      );
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Fills `data`. */
function readAt({ fd, name }: Region, position: number, data: Buffer): void {
  const bytes = data.length;
  for (let done = 0; done < bytes; ) {
    const length = readSync(fd, data, done, bytes - done, position + done);
    if (length === 0) throw invalid(`region ${quoteName(name)}: expected ${bytes} bytes, found that it was cut off`);
    done += length;
  }
}

function writeAt({ fd, name }: Region, position: number, data: Uint8Array): void {
  // Writing beyond the end would make it longer again, at the expense of this machine's memory.
  if (position + data.byteLength > fstatSync(fd).size) {
    throw invalid(`region ${quoteName(name)}: expected room for ${data.byteLength} bytes, found that it was cut off`);
  }
  for (let done = 0; done < data.byteLength; ) {
    done += writeSync(fd, data, done, data.byteLength - done, position + done);
  }
}

function closeUnused(region: Region): void {
  if (region.users === 0 && !region.isRegistered) closeSync(region.fd);
}

function isBytes(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function invalid(message: string, cause?: unknown): SignetError {
  return new SignetError("SHARED_MEMORY_INVALID", message, { cause });
}
