import { randomBytes } from "node:crypto";
import { SignetError } from "../errors.ts";
import { type Anchor, AnchorFile } from "./ledger-anchor.ts";
import { compressArchive } from "./ledger-archive.ts";
import type { LedgerClock } from "./ledger-clock.ts";
import { JournalFile } from "./ledger-journal.ts";
import type { LedgerFiles, VerifiedLedger } from "./ledger-place.ts";
import { type LedgerEntry, type LedgerRecord, sealRecord } from "./ledger-record.ts";
import { LedgerState } from "./ledger-state.ts";

/** The wall clock may move this far against the monotonic clock before the journal says so. */
const CLOCK_STEP_MS = 5 * 60_000;

interface SealedRecord {
  readonly record: LedgerRecord;
  readonly line: Buffer;
  readonly mac: Buffer;
}

export interface LedgerWriterOptions {
  readonly directory: string;
  readonly files: LedgerFiles;
  readonly verified: VerifiedLedger;
  readonly clock: Required<LedgerClock>;
  readonly segmentBytes: number;
  lock(fd: number): boolean;
}

/** The writing end of a ledger: it seals entries into the chain and keeps journal, anchors and state in step. */
export class LedgerWriter {
  readonly state: LedgerState;
  readonly bootId: string;
  /** Settles when closed segments have been compressed. */
  archiving: Promise<void>;
  /** Why the last write failed, or null when it did not. */
  fault: SignetError | null = null;
  readonly #options: LedgerWriterOptions;
  readonly #anchors: AnchorFile[] = [];
  #journal: JournalFile;
  /** Names the present segment in the archive; the same however often closing it was tried. */
  #firstSequence: number;
  /** Wall minus monotonic clock at the last record of this process. */
  #clockOffsetMs: number;

  /** @throws LEDGER_UNWRITABLE, LEDGER_BUSY */
  constructor(options: LedgerWriterOptions) {
    this.#options = options;
    const { clock, files, verified } = options;
    this.bootId = clock.bootId();
    this.#clockOffsetMs = clock.wallMs() - clock.monotonicMs();
    const { journal } = verified;
    this.state = journal === "missing" ? new LedgerState() : journal.state;
    this.#firstSequence = journal === "missing" ? 0 : journal.firstSequence;
    this.#journal = this.#attempt(() =>
      journal === "missing" ? this.#begin() : JournalFile.open(files.journal, journal.wholeBytes),
    );
    try {
      this.#openAnchors();
    } catch (error) {
      this.close();
      throw error;
    }
    this.archiving = compressArchive(options.directory);
  }

  #begin(): JournalFile {
    const { line, mac, record } = this.#seal({ k: "genesis", id: randomBytes(16).toString("hex") });
    const journal = JournalFile.create(this.#options.files.journal, line);
    this.state.apply(record, mac);
    return journal;
  }

  #openAnchors(): void {
    const { files, verified, lock } = this.#options;
    for (const [index, path] of files.anchors.entries()) {
      const reading = verified.anchors[index]!;
      const anchor = this.#attempt(() => new AnchorFile(path, files.anchorKey, reading, this.#anchor()));
      this.#anchors.push(anchor);
      // Anchors are locked as well as the directory: two copies of one directory still share the second anchor.
      if (!lock(anchor.fd)) throw new SignetError("LEDGER_BUSY", `another server has ${path} open`);
    }
  }

  /**
   * Writes entries in one sync, then the anchors. On an error the state is what the disk says.
   *
   * @throws LEDGER_UNWRITABLE
   */
  append(entries: readonly LedgerEntry[]): void {
    const { clock, segmentBytes } = this.#options;
    const offset = clock.wallMs() - clock.monotonicMs();
    const moved = Math.round(offset - this.#clockOffsetMs);
    const all = Math.abs(moved) > CLOCK_STEP_MS ? [{ k: "clock", d: moved } as const, ...entries] : entries;
    const sealed: SealedRecord[] = [];
    for (const entry of all)
      sealed.push(this.#seal(entry, this.state.sequence + 1 + sealed.length, sealed.at(-1)?.mac));
    this.#attempt(() => {
      if (sealed.length > 0) this.#journal.append(Buffer.concat(sealed.map(({ line }) => line)));
      for (const { record, mac } of sealed) this.state.apply(record, mac);
      this.#writeAnchors();
    });
    this.#clockOffsetMs = offset;
    if (this.#journal.size >= segmentBytes) this.#rotate();
  }

  /**
   * Waits until the anchors, too, are on disk. Between such moments the kernel has them, which outlives this process;
   * a power failure may leave anchors that are some seconds older than the journal, and that is allowed.
   */
  syncAnchors(): void {
    this.#attempt(() => {
      for (const anchor of this.#anchors) anchor.sync();
    });
  }

  close(): void {
    this.#journal.close();
    for (const anchor of this.#anchors) anchor.close();
  }

  #seal(entry: LedgerEntry, sequence = this.state.sequence + 1, previous: Buffer = this.state.mac): SealedRecord {
    const { clock, files } = this.#options;
    const t = Math.round(clock.wallMs());
    const m = Math.floor(clock.monotonicMs());
    const record = { s: sequence, t, m, b: this.bootId, ...entry } as LedgerRecord;
    return { record, ...sealRecord(files.journalKey, previous, record) };
  }

  #rotate(): void {
    const name = `journal-${String(this.#firstSequence).padStart(12, "0")}.jsonl`;
    try {
      const { record, line, mac } = this.#seal(this.state.snapshot());
      this.#journal = this.#journal.rotate(line, name);
      this.#firstSequence = record.s;
      this.state.apply(record, mac);
    } catch {
      return; // the old segment goes on growing, and the next append tries again
    }
    this.#attempt(() => this.#writeAnchors());
    this.archiving = this.archiving.then(() => compressArchive(this.#options.directory));
  }

  #writeAnchors(): void {
    const anchor = this.#anchor();
    for (const file of this.#anchors) file.write(anchor);
  }

  #anchor(): Anchor {
    const { id, sequence, mac, highWaterMs } = this.state;
    return { id, sequence, mac: mac.toString("base64"), highWaterMs };
  }

  #attempt<T>(write: () => T): T {
    try {
      const result = write();
      this.fault = null;
      return result;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const message = `${this.#options.directory}: the ledger could not be written (${code ?? "no reason given"})`;
      this.fault = new SignetError("LEDGER_UNWRITABLE", message, { cause: error });
      throw this.fault;
    }
  }
}
