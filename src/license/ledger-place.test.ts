import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { SignetError } from "../errors.ts";
import { expectCode, type LedgerDesk, noLimits, useLedgerDesk } from "./ledger.fixture.ts";
import { readLedger } from "./ledger-place.ts";
import { startRun } from "./start-run.fixture.ts";

const attack = attacksOn("the ledger and the clock");

const limits = { runs: 100_000, runTimeMs: null, concurrency: 8 };

/** A closed ledger of some twenty records. */
function useUsedLedger(): LedgerDesk {
  const desk = useLedgerDesk();
  const ledger = desk.open();
  ledger.admit("lic", 1);
  use(desk, ledger, 8);
  ledger.close();
  return desk;
}

function use(desk: LedgerDesk, ledger: ReturnType<LedgerDesk["open"]>, times: number): void {
  for (let i = 0; i < times; i++) {
    ledger.settle(startRun(ledger, "lic", "svc", limits));
    desk.clock.advance(2000);
  }
}

/** Both ways to read a ledger must agree that something is wrong. */
function expectRefused(desk: LedgerDesk, code: Parameters<typeof expectCode>[1]): void {
  expectCode(() => readLedger(desk.place), code);
  const before = readIfThere(desk.journal);
  expectCode(() => desk.open(), code);
  const after = readIfThere(desk.journal);
  // The evidence is left as it was. Not toEqual, which takes minutes for a huge file.
  expect(before === null ? after === null : after?.equals(before)).toBe(true);
}

function readIfThere(path: string): Buffer | null {
  return existsSync(path) && statSync(path).isFile() ? readFileSync(path) : null;
}

function editLines(path: string, edit: (lines: string[]) => string[]): void {
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  writeFileSync(
    path,
    edit(lines)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

describe("a changed journal is refused", () => {
  const edits: [string, (lines: string[]) => string[]][] = [
    ["an edited number", (lines) => lines.map((line) => line.replace('"r":1', '"r":0'))],
    ["a removed line", (lines) => lines.toSpliced(4, 1)],
    ["two swapped lines", (lines) => lines.with(4, lines[5]!).with(5, lines[4]!)],
    ["a repeated line", (lines) => lines.toSpliced(4, 0, lines[4]!)],
    ["a repeated last line", (lines) => [...lines, lines.at(-1)!]],
    ["garbage in the middle", (lines) => lines.toSpliced(4, 0, "garbage")],
    ["garbage at the end", (lines) => [...lines, "garbage"]],
    ["an empty line", (lines) => lines.toSpliced(4, 0, "")],
    ["a line without its MAC", (lines) => lines.with(4, lines[4]!.split("\t")[0]!)],
    ["a missing first line", (lines) => lines.slice(1)],
    ["no lines at all", () => []],
    ["a second spelling of the same MAC", (lines) => lines.with(4, lines[4]!.replace(/.=$/, "9="))],
    ["Windows line ends", (lines) => lines.map((line) => `${line}\r`)],
  ];
  test.each(edits)("%s", attack.each("edits the ledger"), (_name, edit) => {
    const desk = useUsedLedger();
    editLines(desk.journal, edit);
    expectRefused(desk, "LEDGER_TAMPERED");
  });

  test("every single flipped bit is noticed", attack("flips bits", "one in every seventh byte"), () => {
    const desk = useUsedLedger();
    const whole = readFileSync(desk.journal);
    for (let at = 0; at < whole.length; at += 7) {
      const changed = Buffer.from(whole);
      changed[at]! ^= 1 << (at % 8);
      writeFileSync(desk.journal, changed);
      expect(() => readLedger(desk.place)).toThrow(SignetError);
    }
    writeFileSync(desk.journal, whole);
    readLedger(desk.place);
  });

  test("a ledger made with another key", attack("makes a ledger of his own", "signed with another key"), () => {
    const desk = useUsedLedger();
    expectCode(() => readLedger({ ...desk.place, key: Buffer.alloc(32, 8) }), "LEDGER_TAMPERED");
  });

  test.each(["link", "directory", "pipe", "huge file"])(
    "a %s in its place",
    attack.each("puts something else in the ledger's place"),
    (kind) => {
      const desk = useUsedLedger();
      renameSync(desk.journal, `${desk.journal}.moved`);
      if (kind === "link") symlinkSync(`${desk.journal}.moved`, desk.journal);
      if (kind === "directory") mkdirSync(desk.journal);
      if (kind === "pipe") execFileSync("mkfifo", [desk.journal]);
      if (kind === "huge file") {
        copyFileSync(`${desk.journal}.moved`, desk.journal);
        truncateSync(desk.journal, 100 * 2 ** 20);
      }
      expectRefused(desk, "LEDGER_TAMPERED");
    },
  );
});

describe("a ledger that was set back is refused", () => {
  test("when lines are cut from its end", attack("cuts lines from its end", "the last ones"), () => {
    const desk = useUsedLedger();
    editLines(desk.journal, (lines) => lines.slice(0, -1));
    expectRefused(desk, "LEDGER_ROLLED_BACK");
  });

  test(
    "when it is cut in the middle of a line",
    attack("cuts it in the middle of a line", "300 bytes from the end"),
    () => {
      const desk = useUsedLedger();
      truncateSync(desk.journal, statSync(desk.journal).size - 300);
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );

  test(
    "when zeros are written over its end, as a power failure might",
    attack("writes zeros over its end", "as a power failure might"),
    () => {
      const desk = useUsedLedger();
      const bytes = readFileSync(desk.journal);
      writeFileSync(desk.journal, bytes.fill(0, bytes.length - 400));
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );

  test(
    "when an older copy is put in its place, even with the anchor beside it",
    attack("puts an older copy back", "with the anchor beside it"),
    () => {
      const desk = useUsedLedger();
      cpSync(desk.place.directory, `${desk.place.directory}.old`, { recursive: true });
      const ledger = desk.open();
      use(desk, ledger, 1);
      ledger.close();
      rmSync(desk.place.directory, { recursive: true });
      renameSync(`${desk.place.directory}.old`, desk.place.directory);
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );

  test(
    "when an older copy was continued until it is longer",
    attack("continues an older copy", "until it is longer"),
    () => {
      const desk = useUsedLedger();
      cpSync(desk.place.directory, `${desk.place.directory}.old`, { recursive: true });
      copyFileSync(desk.place.anchorFile, `${desk.place.anchorFile}.old`);
      const first = desk.open();
      use(desk, first, 1);
      first.close();
      const kept = readFileSync(desk.place.anchorFile);
      rmSync(desk.place.directory, { recursive: true });
      renameSync(`${desk.place.directory}.old`, desk.place.directory);
      renameSync(`${desk.place.anchorFile}.old`, desk.place.anchorFile);
      const second = desk.open();
      use(desk, second, 3);
      second.close();
      writeFileSync(desk.place.anchorFile, kept);
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );

  test(
    "when it is cut right after a lease was granted and the server killed",
    attack("takes back a lease", "kill -9 right after it, the last line cut"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      startRun(ledger, "lic", "svc", limits);
      // What a kill leaves behind is what the files hold at this moment.
      const files = [desk.journal, ...desk.anchors].map((path) => [path, readFileSync(path)] as const);
      ledger.close();
      for (const [path, bytes] of files) writeFileSync(path, bytes);
      editLines(desk.journal, (lines) => lines.slice(0, -1));
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );
});

describe("a lost ledger", () => {
  test("is missing, unless there was none and one may be made", () => {
    const desk = useLedgerDesk();
    expectCode(() => desk.open({ create: false }), "LEDGER_MISSING");
    expectCode(() => readLedger(desk.place), "LEDGER_MISSING");
    desk.open({ create: true });
  });

  test.each([0, 1])(
    "is missing while anchor %i is left, even if one may be made",
    attack.each("deletes the ledger and one anchor"),
    (kept) => {
      const desk = useUsedLedger();
      rmSync(desk.journal);
      rmSync(desk.anchors[1 - kept]!);
      expectCode(() => desk.open({ create: true }), "LEDGER_MISSING");
    },
  );

  test("cannot be begun again from its first line", attack("begins it again", "from its first line"), () => {
    const desk = useLedgerDesk();
    desk.open().close();
    const first = `${readFileSync(desk.journal, "utf8").split("\n")[0]}\n`;
    writeFileSync(desk.journal, first);
    for (const anchor of desk.anchors) rmSync(anchor);
    expectCode(() => desk.open({ create: false }), "LEDGER_TAMPERED");
  });

  test("a first start that was interrupted before the anchors is finished by the next", () => {
    const desk = useLedgerDesk();
    desk.open().close();
    const first = `${readFileSync(desk.journal, "utf8").split("\n")[0]}\n`;
    writeFileSync(desk.journal, first);
    for (const anchor of desk.anchors) rmSync(anchor);
    desk.open({ create: true }).close();
    readLedger(desk.place);
  });
});

describe("anchors", () => {
  const damages: [string, (path: string) => void][] = [
    ["removed", (path) => rmSync(path)],
    ["edited", (path) => writeFileSync(path, readFileSync(path, "utf8").replaceAll('"sequence":', '"sequence":1'))],
    ["edited in its newest half", (path) => editNewestSlot(path)],
    ["emptied", (path) => truncateSync(path, 0)],
    ["cut", (path) => truncateSync(path, 600)],
    ["filled with noise", (path) => writeFileSync(path, Buffer.alloc(1024, 0xff))],
  ];

  test.each(damages)("one that was %s is restored from the other, and said", (_name, damage) => {
    for (const index of [0, 1]) {
      const desk = useUsedLedger();
      damage(desk.anchors[index]!);
      readLedger(desk.place);
      const ledger = desk.open();
      expect(ledger.notices).toHaveLength(1);
      ledger.close();
      rmSync(desk.anchors[1 - index]!);
      readLedger(desk.place);
    }
  });

  test("one that cannot be restored is an error", () => {
    const desk = useUsedLedger();
    rmSync(desk.anchors[1]);
    mkdirSync(desk.anchors[1]);
    expectCode(() => desk.open(), "LEDGER_UNWRITABLE");
  });

  test.each(damages)("both %s are refused", attack.each("damages both anchors"), (_name, damage) => {
    const desk = useUsedLedger();
    for (const path of desk.anchors) damage(path);
    expectRefused(desk, "LEDGER_TAMPERED");
  });

  test(
    "both set back to older copies are no help against a newer journal",
    attack("sets only the anchors back", "older copies of both"),
    () => {
      const desk = useUsedLedger();
      const old = desk.anchors.map((path) => readFileSync(path));
      const ledger = desk.open();
      use(desk, ledger, 3);
      ledger.close();
      for (const [index, path] of desk.anchors.entries()) writeFileSync(path, old[index]!);
      const { runs } = readLedger(desk.place).totals("lic", "svc");
      expect(runs).toBe(11);
      observed(`all ${runs} runs stay counted`);
    },
  );

  test(
    "one of another ledger is refused",
    attack("brings the anchor of another ledger", "of the same host key"),
    () => {
      const desk = useUsedLedger();
      const other = useUsedLedger();
      copyFileSync(other.place.anchorFile, desk.place.anchorFile);
      expectRefused(desk, "LEDGER_TAMPERED");
    },
  );

  function editNewestSlot(path: string): void {
    const bytes = readFileSync(path);
    const sequenceAt = (slot: number) => Number(/"sequence":(\d+)/.exec(bytes.toString("latin1", slot * 512))?.[1]);
    const newest = sequenceAt(0) > sequenceAt(1) ? 0 : 1;
    bytes[newest * 512 + 10]! ^= 1;
    writeFileSync(path, bytes);
  }
});

describe("after a crash", () => {
  /** Leaves the files as a server that was killed leaves them, with `inFlight` runs going on. */
  function useKilledServer(inFlight: number, concurrency = 8): LedgerDesk {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < inFlight; i++) startRun(ledger, "lic", "svc", { ...limits, concurrency });
    desk.clock.advance(400);
    const files = [desk.journal, ...desk.anchors].map((path) => [path, readFileSync(path)] as const);
    ledger.close();
    for (const [path, bytes] of files) writeFileSync(path, bytes);
    return desk;
  }

  test(
    "the lease is forfeited, and a second for each run that may have been in flight",
    attack("kills the server with runs in flight", "3 runs, kill -9"),
    () => {
      const desk = useKilledServer(3);
      expect(readLedger(desk.place).totals("lic", "svc")).toEqual({ runs: 0, runTimeMs: 0, leased: 64 });
      const ledger = desk.open();
      expect(ledger.totals("lic", "svc")).toEqual({ runs: 64, runTimeMs: 8000, inFlight: 0 });
      observed(`${ledger.totals("lic", "svc").runs} runs are charged`);
      expect(ledger.notices).toHaveLength(1);
      ledger.close();
      expect(desk.open().totals("lic", "svc")).toEqual({ runs: 64, runTimeMs: 8000, inFlight: 0 });
    },
  );

  test("a run that was in flight when its lease had been settled is still charged its time", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    startRun(ledger, "lic", "svc", { ...limits, runs: 1 });
    desk.clock.advance(1400);
    const files = [desk.journal, ...desk.anchors].map((path) => [path, readFileSync(path)] as const);
    ledger.close();
    for (const [path, bytes] of files) writeFileSync(path, bytes);
    expect(desk.open().totals("lic", "svc")).toEqual({ runs: 1, runTimeMs: 2000, inFlight: 0 });
  });

  test("an idle server forfeits nothing", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    ledger.settle(startRun(ledger, "lic", "svc", limits));
    desk.clock.advance(5000);
    const files = [desk.journal, ...desk.anchors].map((path) => [path, readFileSync(path)] as const);
    ledger.close();
    for (const [path, bytes] of files) writeFileSync(path, bytes);
    const again = desk.open();
    expect(again.notices).toEqual([]);
    expect(again.totals("lic", "svc").runs).toBe(1);
  });

  test.each([
    ["half a line", Buffer.from('{"s":99,"t":1')],
    ["zeros", Buffer.alloc(300)],
    ["a page of zeros and then a line", Buffer.concat([Buffer.alloc(200), Buffer.from("}\tmac\n")])],
  ])("%s at the end is cut off, said and recorded", (_name, torn) => {
    const desk = useUsedLedger();
    appendFileSync(desk.journal, torn);
    readLedger(desk.place);
    const ledger = desk.open();
    expect(ledger.notices).toHaveLength(1);
    ledger.close();
    expect(readFileSync(desk.journal, "utf8")).toContain(`"k":"boot","cut":${torn.length}`);
    readLedger(desk.place);
  });
});

describe("one writer", () => {
  test(
    "a second server is refused while the first runs, and let in after it",
    attack("runs two servers", "on one data directory"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      expectCode(() => desk.open(), "LEDGER_BUSY");
      startRun(ledger, "lic", "svc", noLimits);
      ledger.close();
      desk.open();
    },
  );

  test(
    "a copy of the directory is refused while the first runs, because the second anchor is shared",
    attack("runs two servers on copies", "the directory copied"),
    () => {
      const desk = useLedgerDesk();
      desk.open();
      const copy = `${desk.place.directory}.copy`;
      cpSync(desk.place.directory, copy, { recursive: true });
      expectCode(() => desk.open({ directory: copy }), "LEDGER_BUSY");
    },
  );

  test(
    "moving the anchors away does not let a second server in",
    attack("moves the anchors away to start a second server", "mv, cp, rm"),
    () => {
      const desk = useLedgerDesk();
      desk.open();
      const moved = `${desk.place.anchorFile}.moved`;
      renameSync(desk.place.anchorFile, moved);
      copyFileSync(moved, desk.place.anchorFile);
      rmSync(desk.anchors[0]);
      expectCode(() => desk.open(), "LEDGER_BUSY");
    },
  );

  test("status can be read while a server is writing", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 50; i++) {
      ledger.settle(startRun(ledger, "lic", "svc", { ...limits, runs: 100 }));
      const { runs, leased } = readLedger(desk.place).totals("lic", "svc");
      expect(runs + leased).toBe(i + 1);
    }
  });
});

describe("segments", () => {
  test("a long journal is continued in new segments, and the old ones are archived", async () => {
    const desk = useLedgerDesk();
    const ledger = desk.open({ segmentBytes: 2000 });
    ledger.admit("lic", 4);
    use(desk, ledger, 100);
    const head = ledger.head("lic");
    expect(statSync(desk.journal).size).toBeLessThan(3000);
    await ledger.archiving;
    expect(existsSync(join(desk.place.directory, "archive"))).toBe(true);
    expect(readLedger(desk.place).head("lic")).toEqual(head);
    expect(readLedger(desk.place).highestSequence("lic")).toBe(4);
    ledger.close();
    expect(desk.open().totals("lic", "svc")).toEqual({ runs: 100, runTimeMs: 0, inFlight: 0 });
  });

  test(
    "an archived segment put back in place of the journal is refused",
    attack("puts an archived segment back", "in the journal's place"),
    async () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      use(desk, ledger, 5);
      copyFileSync(desk.journal, `${desk.journal}.kept`);
      ledger.close();
      const next = desk.open({ segmentBytes: 1000 });
      use(desk, next, 20);
      next.close();
      copyFileSync(`${desk.journal}.kept`, desk.journal);
      expectRefused(desk, "LEDGER_ROLLED_BACK");
    },
  );

  test("a crash before, within and after the change of segments is recovered from", async () => {
    const desk = useUsedLedger();
    writeFileSync(`${desk.journal}.new`, "half a snapsh");
    const archive = join(desk.place.directory, "archive");
    mkdirSync(archive);
    linkSync(desk.journal, join(archive, "journal-000000000009.jsonl"));
    const ledger = desk.open({ segmentBytes: 1000 });
    use(desk, ledger, 5);
    await ledger.archiving;
    ledger.close();
    expect(readLedger(desk.place).totals("lic", "svc").runs).toBe(13);
  });
});
