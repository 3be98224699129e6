import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { SignetError } from "../errors.ts";
import { type AnchorReading, readAnchor } from "./ledger-anchor.ts";
import { type JournalReading, readJournal } from "./ledger-journal.ts";
import { LedgerState } from "./ledger-state.ts";

export interface LedgerPlace {
  /** Holds journal.jsonl, anchor.json and archive/; made with mode 0700 if need be. */
  readonly directory: string;
  /** The second anchor: outside `directory`, best on another file system. */
  readonly anchorFile: string;
  /** 32 secret bytes. Who has them can write any ledger. */
  readonly key: Uint8Array;
}

/** The files and keys of a ledger. The journal and the anchors never share a key, so no line of one fits the other. */
export interface LedgerFiles {
  readonly journal: string;
  readonly anchors: readonly [string, string];
  readonly journalKey: KeyObject;
  readonly anchorKey: KeyObject;
}

export function ledgerFiles(place: LedgerPlace): LedgerFiles {
  const derive = (purpose: string) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", place.key, "", `signet/ledger/${purpose}/v1`, 32)));
  return {
    journal: join(place.directory, "journal.jsonl"),
    anchors: [join(place.directory, "anchor.json"), place.anchorFile],
    journalKey: derive("journal"),
    anchorKey: derive("anchor"),
  };
}

export interface VerifiedLedger {
  /** "missing" where there is no trace of a ledger at all. */
  readonly journal: JournalReading | "missing";
  readonly anchors: readonly [AnchorReading, AnchorReading];
}

/**
 * Verifies journal and anchors together. One lost or broken anchor is forgiven as long as the other is whole; both
 * are not, or an old copy of the journal would pass. `create` allows a ledger that was only just begun.
 *
 * @throws LEDGER_MISSING, LEDGER_TAMPERED, LEDGER_ROLLED_BACK, FILE_UNREADABLE
 */
export function verifyLedger(files: LedgerFiles, create: boolean): VerifiedLedger {
  // Anchors first: a server may be writing, and the journal must never look older than an anchor read before it.
  const [first, second] = files.anchors.map((path) => readAnchor(path, files.anchorKey)) as [
    AnchorReading,
    AnchorReading,
  ];
  const whole = [first, second].flatMap((reading) => (typeof reading === "string" ? [] : [reading.anchor]));
  const journal = readJournal(files.journal, files.journalKey, whole);
  const traceless = first === "missing" && second === "missing";
  if (journal === "missing") {
    if (!create || !traceless) throw new SignetError("LEDGER_MISSING", `there is no ledger at ${files.journal}`);
  } else if (whole.length === 0) {
    const justBegun = create && traceless && journal.state.sequence === 0;
    if (!justBegun)
      throw new SignetError("LEDGER_TAMPERED", `${files.anchors.join(" and ")} are lost or damaged, both of them`);
  }
  return { journal, anchors: [first, second] };
}

/**
 * Verifies a ledger and returns what it says, without changing anything and whether or not a server has it open.
 *
 * @param place `create` as in openLedger: where there is no trace of a ledger, an empty one is read
 * @throws LEDGER_MISSING, LEDGER_TAMPERED, LEDGER_ROLLED_BACK, FILE_UNREADABLE
 */
export function readLedger(place: LedgerPlace & { readonly create?: boolean }): LedgerState {
  const files = ledgerFiles(place);
  const read = () => {
    const { journal } = verifyLedger(files, place.create ?? false);
    return journal === "missing" ? new LedgerState() : journal.state;
  };
  try {
    return read();
  } catch {
    return read(); // a server may have been in the middle of a write; a real fault is still there
  }
}
