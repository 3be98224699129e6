import { createHmac, type KeyObject } from "node:crypto";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { syncPathNow } from "./sync-path.ts";

/**
 * An anchor remembers, outside the journal, how far the journal had come, so that an older copy of the journal is
 * recognized. The file is two slots of one disk sector each, written in turn and in place: that costs microseconds
 * at every sync of the journal, needs no space on a full disk, and a power failure can spoil only the slot that was
 * being written.
 */

const SLOT_BYTES = 512;
const OPEN_FLAGS = constants.O_NOFOLLOW | constants.O_NONBLOCK;

const anchorSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{32}$/),
  sequence: z.int().nonnegative(),
  mac: z.base64().length(44),
  highWaterMs: z.int(),
});
export type Anchor = z.infer<typeof anchorSchema>;

/** "broken" is anything but two whole slots: a file that was cut, edited, or made with another key. */
export type AnchorReading = { anchor: Anchor; newestSlot: 0 | 1 } | "missing" | "broken";

/** Reads an anchor file without changing it. */
export function readAnchor(path: string, key: KeyObject): AnchorReading {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | OPEN_FLAGS);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "missing" : "broken";
  }
  try {
    if (!fstatSync(fd).isFile()) return "broken";
    const bytes = Buffer.alloc(2 * SLOT_BYTES);
    if (readSync(fd, bytes, 0, bytes.length, 0) !== bytes.length) return "broken";
    const first = parseSlot(bytes.subarray(0, SLOT_BYTES), key);
    const second = parseSlot(bytes.subarray(SLOT_BYTES), key);
    if (!first || !second) return "broken";
    return first.sequence > second.sequence ? { anchor: first, newestSlot: 0 } : { anchor: second, newestSlot: 1 };
  } catch {
    return "broken";
  } finally {
    closeSync(fd);
  }
}

/** An anchor that is kept up to date. Its errors are those of node:fs. */
export class AnchorFile {
  readonly fd: number;
  readonly #key: KeyObject;
  #nextSlot: 0 | 1;

  /** Opens an anchor that `readAnchor` found whole, or makes it anew from `anchor`. */
  constructor(path: string, key: KeyObject, reading: AnchorReading, anchor: Anchor) {
    this.#key = key;
    if (typeof reading === "string") {
      createAnchorFile(path, key, anchor);
      this.#nextSlot = 0;
    } else {
      this.#nextSlot = reading.newestSlot === 0 ? 1 : 0;
    }
    this.fd = openSync(path, constants.O_RDWR | OPEN_FLAGS);
  }

  /** Overwrites the older slot. The kernel has it on return, which outlives this process; the disk may not yet. */
  write(anchor: Anchor): void {
    writeWhole(this.fd, formatSlot(anchor, this.#key), this.#nextSlot * SLOT_BYTES);
    this.#nextSlot = this.#nextSlot === 0 ? 1 : 0;
  }

  sync(): void {
    fdatasyncSync(this.fd);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function createAnchorFile(path: string, key: KeyObject, anchor: Anchor): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  const fd = openSync(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
  try {
    const slot = formatSlot(anchor, key);
    writeWhole(fd, Buffer.concat([slot, slot]), 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  syncPathNow(dirname(path));
}

/** Writes all of `bytes` at `position`; a short write is continued until the system refuses. */
export function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

function formatSlot(anchor: Anchor, key: KeyObject): Buffer {
  const json = JSON.stringify(anchor);
  const text = `${json}\t${createHmac("sha256", key).update(json).digest("base64")}`;
  return Buffer.from(`${text.padEnd(SLOT_BYTES - 1)}\n`);
}

function parseSlot(bytes: Buffer, key: KeyObject): Anchor | undefined {
  const text = bytes.toString("latin1");
  const tab = text.indexOf("\t");
  if (tab < 0) return undefined;
  const json = text.slice(0, tab);
  const mac = createHmac("sha256", key).update(json).digest("base64");
  if (text.slice(tab + 1) !== `${mac.padEnd(SLOT_BYTES - tab - 2)}\n`) return undefined;
  try {
    return anchorSchema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}
