import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from "node:fs";
import {
  type Anchor,
  AnchorFile,
  type AnchorReading,
  compressArchive,
  JournalFile,
  MAC_BYTES,
  openLine,
  readAnchor,
  SEGMENT_BYTES,
  sealLine,
  splitLine,
} from "../license/index.ts";
import {
  type AuditFiles,
  type AuditPlace,
  auditFiles,
  SEGMENT_NAME,
  unwritable,
  withAuditLock,
} from "./audit-place.ts";
import { type AuditEntry, parseAuditRecord, recordFromEntry } from "./audit-record.ts";

/** More than everything that one append can write: what it left unanchored when it was interrupted is found in it. */
const TAIL_BYTES = 1024 * 1024;
/** Entries of one append: a bound for TAIL_BYTES. */
export const MAX_BATCH = 128;
const LF = 0x0a;

/** Where the chain is continued. */
interface ChainEnd {
  readonly id: string;
  readonly sequence: number;
  readonly mac: Buffer;
}

/**
 * Appends entries, in one sync. The log is not verified first: a record continues the chain that the anchors
 * remember, so that whatever was done to the file before stays visible for ever, and never keeps anybody from
 * recording what happens now.
 *
 * @throws AUDIT_UNWRITABLE
 */
export async function appendAudit(place: AuditPlace, entries: readonly AuditEntry[], by: string): Promise<void> {
  if (entries.length === 0) return;
  const isRotated = await withAuditLock(place, () => {
    try {
      const writer = new AuditWriter(place, by);
      try {
        return writer.append(entries.slice(0, MAX_BATCH));
      } finally {
        writer.close();
      }
    } catch (error) {
      throw unwritable(place.directory, error);
    }
  });
  if (isRotated) await compressArchive(place.directory, SEGMENT_NAME);
}

/** Lives as long as the lock is held. */
class AuditWriter {
  readonly #files: AuditFiles;
  readonly #by: string;
  readonly #segmentBytes: number;
  readonly #readings: readonly [AnchorReading, AnchorReading];
  readonly #repairs: string[] = [];
  #end: ChainEnd;
  #journal: JournalFile;

  constructor(place: AuditPlace, by: string) {
    this.#files = auditFiles(place);
    this.#by = by;
    this.#segmentBytes = place.segmentBytes ?? SEGMENT_BYTES;
    this.#readings = this.#files.anchors.map((path) => readAnchor(path, this.#files.anchorKey)) as [
      AnchorReading,
      AnchorReading,
    ];
    const anchor = newest(this.#readings);
    const { segment } = this.#files;
    if (existsSync(segment)) {
      const tail = readTail(segment);
      this.#end = this.#findEnd(tail, anchor);
      this.#journal = JournalFile.open(segment, tail.wholeBytes);
      return;
    }
    const isFresh = this.#readings.every((reading) => reading === "missing");
    this.#end = { id: anchor?.id ?? randomBytes(16).toString("hex"), sequence: -1, mac: Buffer.alloc(MAC_BYTES) };
    if (anchor) this.#end = endOf(anchor);
    if (!isFresh) this.#repairs.push("the log was missing");
    const { id } = this.#end;
    const first: AuditEntry = isFresh
      ? { event: "audit.began", detail: { id, isOldHost: place.isOldHost } }
      : { event: "audit.continued", detail: { id, p: this.#end.mac.toString("base64") } };
    this.#journal = JournalFile.create(segment, this.#seal(first));
  }

  /** True when the segment was closed and there is one to compress. */
  append(entries: readonly AuditEntry[]): boolean {
    const repairs = this.#repairs.map((reason): AuditEntry => ({ event: "audit.repaired", detail: { reason } }));
    this.#journal.append(Buffer.concat([...repairs, ...entries].map((entry) => this.#seal(entry))));
    const isFull = this.#journal.size >= this.#segmentBytes;
    if (isFull) this.#rotate();
    this.#writeAnchors();
    return isFull;
  }

  close(): void {
    this.#journal.close();
  }

  #seal(entry: AuditEntry): Buffer {
    const { id, sequence, mac: previous } = this.#end;
    const record = recordFromEntry(entry, sequence + 1, new Date(), this.#by);
    const { line, mac } = sealLine(this.#files.logKey, previous, record);
    this.#end = { id, sequence: record.s, mac };
    return line;
  }

  #rotate(): void {
    const { id, mac } = this.#end;
    const first = this.#seal({ event: "audit.continued", detail: { id, p: mac.toString("base64") } });
    const name = `audit-${String(readFirstSequence(this.#files.segment)).padStart(12, "0")}.jsonl`;
    this.#journal = this.#journal.rotate(first, name);
  }

  #writeAnchors(): void {
    const { id, sequence, mac } = this.#end;
    const anchor: Anchor = { id, sequence, mac: mac.toString("base64"), highWaterMs: Date.now() };
    for (const [index, path] of this.#files.anchors.entries()) {
      const file = new AnchorFile(path, this.#files.anchorKey, this.#readings[index]!, anchor);
      try {
        file.write(anchor);
      } finally {
        file.close();
      }
    }
  }

  /**
   * The line that the anchors remember, and after it what an interrupted append wrote but did not anchor. Where that
   * line is gone the chain goes on from the anchor all the same, and the gap stays.
   */
  #findEnd({ lines }: Tail, anchor: Anchor | undefined): ChainEnd {
    const split = lines.map((line) => splitLine(line));
    const anchored = anchor ? split.findLastIndex((line) => line?.mac === anchor.mac) : split.length - 1;
    if (!anchor) {
      this.#repairs.push("both anchors were lost or damaged");
      return this.#claimedEnd(split[anchored] ?? null);
    }
    let end = endOf(anchor);
    if (anchored < 0) {
      this.#repairs.push("the end of the log was missing");
      return end;
    }
    for (const line of split.slice(anchored + 1)) {
      const mac = line && openLine(this.#files.logKey, end.mac, line);
      const record = mac ? parseAuditRecord(line.json) : undefined;
      if (!mac || record?.s !== end.sequence + 1) break;
      end = { ...end, sequence: record.s, mac };
    }
    return end;
  }

  /** Without an anchor there is only what the last line claims. */
  #claimedEnd(line: ReturnType<typeof splitLine>): ChainEnd {
    const record = line ? parseAuditRecord(line.json) : undefined;
    const id = randomBytes(16).toString("hex");
    if (!line || !record) return { id, sequence: -1, mac: Buffer.alloc(MAC_BYTES) };
    return { id, sequence: record.s, mac: Buffer.from(line.mac, "base64") };
  }
}

function endOf({ id, sequence, mac }: Anchor): ChainEnd {
  return { id, sequence, mac: Buffer.from(mac, "base64") };
}

function newest(readings: readonly AnchorReading[]): Anchor | undefined {
  const whole = readings.flatMap((reading) => (typeof reading === "string" ? [] : [reading.anchor]));
  return whole.toSorted((a, b) => b.sequence - a.sequence)[0];
}

interface Tail {
  readonly lines: readonly Buffer[];
  /** Where the last whole line ends; what follows is a torn write. */
  readonly wholeBytes: number;
}

function readTail(path: string): Tail {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw Object.assign(new Error("not a regular file"), { code: "ENOTFILE" });
    const bytes = Buffer.alloc(Math.min(stat.size, TAIL_BYTES));
    const start = stat.size - bytes.length;
    const read = readSync(fd, bytes, 0, bytes.length, start);
    const end = bytes.lastIndexOf(LF, read - 1) + 1;
    const lines: Buffer[] = [];
    for (let at = 0; at < end; ) {
      const next = bytes.indexOf(LF, at);
      lines.push(bytes.subarray(at, next));
      at = next + 1;
    }
    return { lines, wholeBytes: start + end };
  } finally {
    closeSync(fd);
  }
}

/** Names a closed segment, the same however often closing it was tried; 0 where its first line cannot be read. */
function readFirstSequence(path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const bytes = Buffer.alloc(TAIL_BYTES);
    const head = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    const line = splitLine(head.subarray(0, Math.max(0, head.indexOf(LF))));
    return (line ? parseAuditRecord(line.json)?.s : undefined) ?? 0;
  } finally {
    closeSync(fd);
  }
}
