import type { KeyObject } from "node:crypto";
import {
  closeSync,
  constants,
  copyFileSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileError, SignetError } from "../errors.ts";
import { type Anchor, writeWhole } from "./ledger-anchor.ts";
import { openRecord } from "./ledger-record.ts";
import { LedgerState } from "./ledger-state.ts";
import { syncPathNow } from "./sync-path.ts";

/** A segment is closed at 8 MiB; one that is eight times as large was not written by a server. */
export const SEGMENT_BYTES = 8 * 1024 * 1024;
const LF = 0x0a;

export interface JournalReading {
  readonly state: LedgerState;
  /** The sequence of the segment's first record. */
  readonly firstSequence: number;
  /** Length of the verified lines; what follows is a torn write. */
  readonly wholeBytes: number;
  readonly tornBytes: number;
}

/**
 * Reads and verifies a journal, and compares it with the anchors, all without changing anything.
 *
 * @throws LEDGER_TAMPERED, LEDGER_ROLLED_BACK, FILE_UNREADABLE
 */
export function readJournal(path: string, key: KeyObject, anchors: readonly Anchor[]): JournalReading | "missing" {
  const bytes = readSegment(path);
  if (!bytes) return "missing";
  const state = new LedgerState();
  // The MAC the chain had at each anchor's sequence; what lies before this segment cannot be compared any more.
  const seen = new Map<number, string>();
  const wanted = new Set(anchors.map((anchor) => anchor.sequence));
  let firstSequence = 0;
  let start = 0;
  for (let lineNumber = 1; start < bytes.length; lineNumber++) {
    const end = bytes.indexOf(LF, start);
    const opened = end < 0 ? null : openRecord(key, lineNumber === 1 ? null : state.mac, bytes.subarray(start, end));
    if (!opened || (lineNumber > 1 && opened.record.s !== state.sequence + 1)) {
      if (lineNumber > 1 && isTornWrite(bytes.subarray(start))) break;
      throw new SignetError("LEDGER_TAMPERED", `${path} line ${lineNumber} does not continue the chain`);
    }
    if (lineNumber === 1) firstSequence = opened.record.s;
    if (opened.record.k === "snapshot") seen.set(opened.record.s - 1, opened.record.p);
    state.apply(opened.record, opened.mac);
    if (wanted.has(state.sequence)) seen.set(state.sequence, state.mac.toString("base64"));
    start = end + 1;
  }
  if (state.sequence < 0) throw new SignetError("LEDGER_TAMPERED", `${path} is empty`);
  for (const anchor of anchors) verifyAnchor(anchor, state, seen, path);
  return { state, firstSequence, wholeBytes: start, tornBytes: bytes.length - start };
}

/**
 * A write that a power failure cut short ends without LF, or has zeros where a page never reached the disk. Cutting
 * it off gives nothing away: what had been granted on the strength of it has been anchored, and is missed there.
 */
function isTornWrite(rest: Buffer): boolean {
  return rest.indexOf(LF) < 0 || rest.includes(0);
}

function verifyAnchor(anchor: Anchor, state: LedgerState, seen: Map<number, string>, path: string): void {
  if (anchor.id !== state.id)
    throw new SignetError("LEDGER_TAMPERED", `${path} is not the ledger that its anchor belongs to`);
  if (anchor.sequence > state.sequence)
    throw new SignetError(
      "LEDGER_ROLLED_BACK",
      `${path} ends at record ${state.sequence}, but had already reached record ${anchor.sequence}`,
    );
  const mac = seen.get(anchor.sequence);
  if (mac !== undefined && mac !== anchor.mac)
    throw new SignetError(
      "LEDGER_ROLLED_BACK",
      `${path} was set back and then continued: record ${anchor.sequence} is not the one its anchor remembers`,
    );
}

function readSegment(path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") throw new SignetError("LEDGER_TAMPERED", `${path} is a link`);
    throw fileError(path, error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new SignetError("LEDGER_TAMPERED", `${path} is not a regular file`);
    if (stat.size > 8 * SEGMENT_BYTES) throw new SignetError("LEDGER_TAMPERED", `${path} is too large for a ledger`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The writing end of a journal. Every method either takes full effect on disk or throws an error of node:fs. */
export class JournalFile {
  readonly #path: string;
  #fd: number;
  #size: number;
  #mayHaveRemains = false;

  private constructor(path: string, fd: number, size: number) {
    this.#path = path;
    this.#fd = fd;
    this.#size = size;
  }

  /** Opens a verified journal for appending and cuts off a torn write. */
  static open(path: string, wholeBytes: number): JournalFile {
    const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    ftruncateSync(fd, wholeBytes);
    return new JournalFile(path, fd, wholeBytes);
  }

  /** Puts a new segment that begins with `firstLine` in the place of whatever is at `path`. */
  static create(path: string, firstLine: Buffer): JournalFile {
    const fresh = `${path}.new`;
    const fd = openSync(fresh, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
    try {
      writeWhole(fd, firstLine, 0);
      fsyncSync(fd);
      renameSync(fresh, path);
    } catch (error) {
      closeSync(fd);
      rmSync(fresh, { force: true });
      throw error;
    }
    try {
      syncPathNow(dirname(path));
    } catch {
      // The new segment has the name already, so it must be used; only a power failure now could take it back.
    }
    return new JournalFile(path, fd, firstLine.length);
  }

  get size(): number {
    return this.#size;
  }

  /** Appends whole lines and waits until they are on disk. After an error the journal is as it was before. */
  append(lines: Buffer): void {
    if (this.#mayHaveRemains) this.#cutRemains();
    try {
      writeWhole(this.#fd, lines, this.#size);
      fdatasyncSync(this.#fd);
    } catch (error) {
      this.#mayHaveRemains = true;
      try {
        this.#cutRemains();
      } catch {
        // Tried again before the next append.
      }
      throw error;
    }
    this.#size += lines.length;
  }

  #cutRemains(): void {
    ftruncateSync(this.#fd, this.#size);
    this.#mayHaveRemains = false;
  }

  /**
   * Starts a new segment with `firstLine` and keeps the old one as `archive/NAME`. The journal's name changes hands
   * by one rename: at every instant exactly one whole segment has it.
   */
  rotate(firstLine: Buffer, archiveName: string): JournalFile {
    const archive = join(dirname(this.#path), "archive");
    mkdirSync(archive, { recursive: true, mode: 0o700 });
    const kept = join(archive, archiveName);
    rmSync(kept, { force: true });
    try {
      linkSync(this.#path, kept);
    } catch {
      copyFileSync(this.#path, kept); // a file system without hard links
    }
    const next = JournalFile.create(this.#path, firstLine);
    this.close();
    return next;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
