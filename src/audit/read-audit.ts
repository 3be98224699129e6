import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { SignetError } from "../errors.ts";
import { type Anchor, MAC_BYTES, openLine, readAnchor, SEGMENT_BYTES, splitLine } from "../license/index.ts";
import { type AuditFiles, type AuditPlace, auditFiles, withAuditLock } from "./audit-place.ts";
import { type AuditRecord, parseAuditRecord } from "./audit-record.ts";

/** Something that shows that the log is not as it was written. */
export interface AuditFault {
  readonly file: string;
  /** From 1; null where it concerns the file as a whole. */
  readonly line: number | null;
  readonly what: string;
}

export interface AuditReading {
  readonly faults: readonly AuditFault[];
  /** Records that were read, and the numbers of the first and the last; null where there are none. */
  readonly records: number;
  readonly first: number | null;
  readonly last: number | null;
}

/** Closed segments are compressed; one that unpacks to more than this was not written by us. */
const MAX_SEGMENT_BYTES = 8 * SEGMENT_BYTES;
const MAX_FAULTS = 100;
const LF = 0x0a;

/**
 * Reads all segments, archived ones included, and verifies them: every line continues the one before it, numbers run
 * on, and the end is where the anchors say. Reading goes on after a fault, so that one broken line neither hides the
 * others nor what is whole. Changes nothing.
 *
 * @param onRecord gets every record whose line can be read, in order; `isWhole` is false where its MAC is wrong
 * @throws AUDIT_MISSING where there is no trace of a log; AUDIT_UNWRITABLE where it cannot be locked
 */
export async function readAudit(
  place: AuditPlace,
  onRecord: (record: AuditRecord, isWhole: boolean) => void = () => undefined,
): Promise<AuditReading> {
  return await withAuditLock(place, () => {
    const reader = new AuditReader(auditFiles(place), onRecord);
    return reader.read(place.directory);
  });
}

class AuditReader {
  readonly #files: AuditFiles;
  readonly #onRecord: (record: AuditRecord, isWhole: boolean) => void;
  readonly #faults: AuditFault[] = [];
  readonly #anchors: readonly Anchor[];
  #previous: { readonly s: number; readonly mac: Buffer } | null = null;
  #records = 0;
  #first: number | null = null;
  #hasTrace = false;

  constructor(files: AuditFiles, onRecord: (record: AuditRecord, isWhole: boolean) => void) {
    this.#files = files;
    this.#onRecord = onRecord;
    const readings = files.anchors.map((path) => readAnchor(path, files.anchorKey));
    this.#anchors = readings.flatMap((reading) => (typeof reading === "string" ? [] : [reading.anchor]));
    this.#hasTrace = readings.some((reading) => reading !== "missing");
  }

  read(directory: string): AuditReading {
    for (const path of this.#archived()) this.#readSegment(path);
    const current = this.#readSegment(this.#files.segment);
    if (!this.#hasTrace) throw new SignetError("AUDIT_MISSING", `there is no audit log at ${directory}`);
    if (!current) this.#fault(this.#files.segment, null, "is missing, or cannot be read");
    this.#compareAnchors(directory);
    const last = this.#previous?.s ?? null;
    return { faults: this.#faults, records: this.#records, first: this.#first, last };
  }

  /** Oldest first; of a segment that is there compressed and not, the compressed one. */
  #archived(): string[] {
    let names: string[];
    try {
      names = readdirSync(this.#files.archive);
    } catch {
      return [];
    }
    const wanted = names.filter((name) => /^audit-\d{12}\.jsonl(\.gz)?$/.test(name));
    return wanted
      .filter((name) => !wanted.includes(`${name}.gz`))
      .toSorted()
      .map((name) => join(this.#files.archive, name));
  }

  /** False where there is no such file. */
  #readSegment(path: string): boolean {
    let bytes: Buffer;
    try {
      bytes = readSegment(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return false;
      this.#hasTrace = true;
      this.#fault(path, null, `cannot be read (${code ?? (error as Error).message})`);
      return true;
    }
    this.#hasTrace = true;
    let line = 1;
    for (let start = 0; start < bytes.length; line++) {
      const end = bytes.indexOf(LF, start);
      // Without its end a line is what an interrupted write left; the next writer cuts it off.
      if (end < 0) break;
      if (!this.#readLine(path, line, bytes.subarray(start, end)) && line === 1) return true;
      start = end + 1;
    }
    return true;
  }

  /** False where the line says nothing new: an archived copy of a segment that was already read. */
  #readLine(path: string, line: number, bytes: Buffer): boolean {
    const claimed = splitLine(bytes);
    const record = claimed ? parseAuditRecord(claimed.json) : undefined;
    if (!claimed || !record) {
      this.#fault(path, line, "is not a record");
      return true;
    }
    const previous = this.#previous;
    if (line === 1 && previous && record.s <= previous.s && record.event !== "audit.began") return false;
    const isFirst = previous === null;
    const continues = isFirst ? beginningOf(record) : previous.mac;
    const mac = openLine(this.#files.logKey, continues, claimed);
    if (!isFirst && record.s !== previous.s + 1) {
      this.#fault(path, line, `is record ${record.s}, expected record ${previous.s + 1}: removed, added or moved`);
    } else if (!mac) {
      this.#fault(path, line, `record ${record.s} was changed, or is not the one that followed`);
    }
    this.#reportBreaks(path, line, record, isFirst);
    this.#compareAnchor(path, line, record.s, claimed.mac);
    // A broken line does not hide the next: that one must continue what this one claims to be.
    this.#previous = { s: record.s, mac: mac ?? Buffer.from(claimed.mac, "base64") };
    this.#first ??= record.s;
    this.#records++;
    this.#onRecord(record, mac !== null);
    return true;
  }

  /** What the writer itself noticed. */
  #reportBreaks(path: string, line: number, { s, event, detail }: AuditRecord, isFirst: boolean): void {
    if (event === "audit.repaired")
      this.#fault(path, line, `before record ${s}, ${detail?.reason ?? "it was damaged"}`);
    if (event !== "audit.began") return;
    if (!isFirst) this.#fault(path, line, "the log begins a second time");
    if (detail?.isOldHost === true) {
      this.#fault(path, line, "the log begins on a host that was in use before: an older one was removed");
    }
  }

  #compareAnchor(path: string, line: number, s: number, mac: string): void {
    for (const anchor of this.#anchors) {
      if (anchor.sequence === s && anchor.mac !== mac) {
        this.#fault(path, line, `record ${s} is not the one its anchor remembers: the log was set back and continued`);
      }
    }
  }

  #compareAnchors(directory: string): void {
    const last = this.#previous?.s ?? -1;
    if (this.#anchors.length === 0) this.#fault(directory, null, "both anchors are lost or damaged");
    const reached = Math.max(-1, ...this.#anchors.map(({ sequence }) => sequence));
    if (reached > last) {
      this.#fault(this.#files.segment, null, `ends at record ${last}, but had reached record ${reached}`);
    }
  }

  #fault(file: string, line: number | null, what: string): void {
    if (this.#faults.length < MAX_FAULTS) this.#faults.push({ file, line, what });
  }
}

/** What the first line that is here continues: nothing, or what a later segment says that it does. */
function beginningOf({ event, detail }: AuditRecord): Buffer {
  if (event === "audit.continued" && typeof detail?.p === "string") return Buffer.from(detail.p, "base64");
  return Buffer.alloc(MAC_BYTES);
}

function readSegment(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("not a regular file");
    if (stat.size > MAX_SEGMENT_BYTES) throw new Error("too large for a segment");
    const bytes = readFileSync(fd);
    return path.endsWith(".gz") ? gunzipSync(bytes, { maxOutputLength: MAX_SEGMENT_BYTES }) : bytes;
  } finally {
    closeSync(fd);
  }
}
