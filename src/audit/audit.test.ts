import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { lockExclusively } from "../plugin/index.ts";
import { createLog } from "../telemetry/index.ts";
import { appendAudit } from "./append-audit.ts";
import { openAuditLog } from "./audit-log.ts";
import type { AuditPlace } from "./audit-place.ts";
import type { AuditEntry, AuditRecord } from "./audit-record.ts";
import { readAudit } from "./read-audit.ts";
import { MAX_LINES, RefusedCalls } from "./refused-calls.ts";

const attack = attacksOn("logs and tickets");

function usePlace(options: Partial<AuditPlace> = {}): AuditPlace & { readonly file: string } {
  const root = mkdtempSync(join(tmpdir(), "signet-audit-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const directory = join(root, "audit");
  return {
    directory,
    anchorFile: join(root, "host", "audit-anchor.json"),
    key: randomBytes(32),
    isOldHost: false,
    lock: lockExclusively,
    ...options,
    file: join(directory, "audit.jsonl"),
  };
}

/** Records `count` tokens by their number, one append each. */
async function record(place: AuditPlace, count: number, from = 0): Promise<void> {
  for (let n = from; n < from + count; n++) {
    await appendAudit(place, [{ event: "access.added", detail: { name: `token-${n}` } }], "tester");
  }
}

async function recordsOf(place: AuditPlace): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  await readAudit(place, (entry) => records.push(entry));
  return records;
}

async function faultsOf(place: AuditPlace): Promise<string[]> {
  const found = (await readAudit(place)).faults.map(({ what }) => what);
  if (found.length > 0) observed(`found: ${found.at(-1)}`);
  return found;
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").trimEnd().split("\n");
}

function setLines(file: string, lines: readonly string[]): void {
  writeFileSync(file, `${lines.join("\n")}\n`);
}

describe("a log that nobody touched", () => {
  test("has every record in order, and is whole", async () => {
    const place = usePlace();
    await record(place, 20);
    const records = await recordsOf(place);
    expect(records.map(({ s }) => s)).toEqual([...Array(21).keys()]);
    expect(records.map(({ event }) => event)).toEqual(["audit.began", ...Array(20).fill("access.added")]);
    expect(records.at(-1)).toMatchObject({ by: "tester", detail: { name: "token-19" } });
    expect(await faultsOf(place)).toEqual([]);
  });

  test("takes writers at the same time, and loses nothing", async () => {
    const place = usePlace();
    await Promise.all([record(place, 20), record(place, 20, 100), record(place, 20, 200)]);
    const names = (await recordsOf(place)).flatMap(({ detail }) => detail?.name ?? []);
    expect(new Set(names).size).toBe(60);
    expect(await faultsOf(place)).toEqual([]);
  });

  test("goes on over segments, which are compressed, and read again", async () => {
    const place = usePlace({ segmentBytes: 2000 });
    await record(place, 60);
    const archived = readdirSync(join(place.directory, "archive"));
    expect(archived.length).toBeGreaterThan(3);
    expect(archived.every((name) => name.endsWith(".jsonl.gz"))).toBe(true);
    const names = (await recordsOf(place)).flatMap(({ detail }) => detail?.name ?? []);
    expect(names).toEqual([...Array(60).keys()].map((n) => `token-${n}`));
    expect(await faultsOf(place)).toEqual([]);
  });

  test("does not miss the oldest segments, which an operator may move away", async () => {
    const place = usePlace({ segmentBytes: 2000 });
    await record(place, 60);
    const archive = join(place.directory, "archive");
    rmSync(join(archive, readdirSync(archive).toSorted()[0]!));
    const reading = await readAudit(place);
    expect(reading.faults).toEqual([]);
    expect(reading.first).toBeGreaterThan(0);
  });

  test("keeps its records short, whatever was written by somebody else", async () => {
    const place = usePlace();
    const message = `${"\u{1f600}".repeat(5000)}\ud800`;
    await appendAudit(place, [{ event: "license.refused", detail: { message, services: [message] } }], message);
    expect(linesOf(place.file).every((line) => Buffer.byteLength(line) < 4000)).toBe(true);
    expect(await faultsOf(place)).toEqual([]);
    expect(await recordsOf(place)).toHaveLength(2);
  });
});

describe("an interrupted write", () => {
  test("that left half a line is cut off by the next, and is no fault", async () => {
    const place = usePlace();
    await record(place, 3);
    appendFileSync(place.file, '{"s":4,"time":"20');
    expect(await faultsOf(place)).toEqual([]);
    await record(place, 1, 3);
    expect(await faultsOf(place)).toEqual([]);
    expect(await recordsOf(place)).toHaveLength(5);
  });

  test("that left whole lines which no anchor remembers yet is continued", async () => {
    const place = usePlace();
    await record(place, 3);
    const anchors = [join(place.directory, "anchor.json"), place.anchorFile];
    for (const path of anchors) copyFileSync(path, `${path}.old`);
    await record(place, 2, 3);
    for (const path of anchors) copyFileSync(`${path}.old`, path);
    await record(place, 1, 5);
    expect(await faultsOf(place)).toEqual([]);
    expect(await recordsOf(place)).toHaveLength(7);
  });

  test("of one anchor is repaired from the other", async () => {
    const place = usePlace();
    await record(place, 3);
    rmSync(place.anchorFile);
    writeFileSync(join(place.directory, "archive.txt"), "");
    await record(place, 1, 3);
    writeFileSync(join(place.directory, "anchor.json"), "nonsense");
    await record(place, 1, 4);
    expect(await faultsOf(place)).toEqual([]);
  });
});

describe("tampering", () => {
  async function useLog(count = 10) {
    const place = usePlace();
    await record(place, count);
    return place;
  }

  test.each<[string, (lines: string[]) => string[], RegExp]>([
    ["changed", (lines) => lines.map((line, n) => (n === 4 ? line.replace("token-3", "token-9") : line)), /changed/],
    ["removed", (lines) => lines.toSpliced(4, 1), /removed/],
    ["added a second time", (lines) => lines.toSpliced(4, 0, lines[3]!), /added/],
    ["moved", (lines) => lines.toSpliced(4, 2, lines[5]!, lines[4]!), /moved/],
    ["replaced by nonsense", (lines) => lines.with(4, "nonsense"), /not a record/],
    ["cut from the beginning", (lines) => lines.slice(1), /changed/],
    ["cut from the end", (lines) => lines.slice(0, -1), /ends at record 9, but had reached record 10/],
    ["emptied", () => [], /ends at record -1/],
  ])("is found where a line was %s", attack.each("changes lines of the audit log"), async (_, change, expected) => {
    const place = await useLog();
    setLines(place.file, change(linesOf(place.file)));
    if (linesOf(place.file)[0] === "") writeFileSync(place.file, "");
    expect((await faultsOf(place)).join("\n")).toMatch(expected);
  });

  test.each<[string, (lines: string[]) => string[]]>([
    ["changed", (lines) => lines.map((line, n) => (n === 4 ? line.replace("token-3", "token-9") : line))],
    ["cut from the end", (lines) => lines.slice(0, -3)],
    ["emptied", () => []],
  ])(
    "stays visible where a log was %s and then written on",
    attack.each("has the audit log continued after a change"),
    async (_, change) => {
      const place = await useLog();
      const lines = change(linesOf(place.file));
      if (lines.length > 0) setLines(place.file, lines);
      else writeFileSync(place.file, "");
      await record(place, 5, 10);
      expect(await faultsOf(place)).not.toEqual([]);
      expect((await recordsOf(place)).map(({ detail }) => detail?.name)).toContain("token-14");
    },
  );

  test(
    "one broken line does not hide the next, nor what is whole",
    attack("hides a changed line behind another", "two lines"),
    async () => {
      const place = await useLog();
      const lines = linesOf(place.file);
      for (const n of [3, 7]) lines[n] = lines[n]!.replace("token", "tokex");
      setLines(place.file, lines);
      const reading = await readAudit(place);
      expect(reading.faults.map(({ line }) => line)).toEqual([4, 8]);
      const whole: boolean[] = [];
      await readAudit(place, (_, isWhole) => whole.push(isWhole));
      expect(whole.filter((each) => !each)).toHaveLength(2);
      observed("both are found, the others are whole");
    },
  );

  test(
    "is found where the log was set back to a copy",
    attack("sets the audit log back", "an older copy"),
    async () => {
      const place = await useLog();
      copyFileSync(place.file, `${place.file}.copy`);
      await record(place, 5, 10);
      copyFileSync(`${place.file}.copy`, place.file);
      expect(await faultsOf(place)).toEqual([expect.stringContaining("had reached record 15")]);
      await record(place, 5, 15);
      expect((await faultsOf(place)).join("\n")).toMatch(/the end of the log was missing/);
    },
  );

  test(
    "is found where the log and one anchor were set back",
    attack("sets the audit log back with an anchor", "older copies of both"),
    async () => {
      const place = await useLog();
      const both = [place.file, join(place.directory, "anchor.json")];
      for (const path of both) copyFileSync(path, `${path}.copy`);
      await record(place, 5, 10);
      for (const path of both) copyFileSync(`${path}.copy`, path);
      expect(await faultsOf(place)).toEqual([expect.stringContaining("had reached record 15")]);
    },
  );

  test(
    "is found where the log was deleted, with its anchors or without",
    attack("deletes the audit log", "with and without its anchors"),
    async () => {
      const place = await useLog();
      rmSync(place.file);
      expect(await faultsOf(place)).not.toEqual([]);
      await record(place, 1);
      expect(await faultsOf(place)).toEqual([expect.stringContaining("the log was missing")]);

      const other = await useLog();
      rmSync(other.directory, { recursive: true });
      rmSync(other.anchorFile);
      await expect(readAudit(other)).rejects.toMatchObject({ code: "AUDIT_MISSING" });
      await record({ ...other, isOldHost: true }, 1);
      expect(await faultsOf(other)).toEqual([expect.stringContaining("an older one was removed")]);
    },
  );

  test(
    "is found where both anchors were deleted",
    attack("deletes both anchors of the audit log", "unlink"),
    async () => {
      const place = await useLog();
      rmSync(place.anchorFile);
      rmSync(join(place.directory, "anchor.json"));
      expect(await faultsOf(place)).toEqual(["both anchors are lost or damaged"]);
      await record(place, 1);
      expect(await faultsOf(place)).toEqual([expect.stringContaining("both anchors were lost")]);
    },
  );

  test(
    "is found where a segment between others is gone, or was changed",
    attack("deletes a segment of the audit log", "from the archive"),
    async () => {
      const place = usePlace({ segmentBytes: 2000 });
      await record(place, 60);
      const archive = join(place.directory, "archive");
      const [, second, third] = readdirSync(archive).toSorted();
      rmSync(join(archive, second!));
      expect(await faultsOf(place)).toEqual([expect.stringMatching(/removed, added or moved/)]);
      writeFileSync(join(archive, third!), "no gzip");
      expect((await faultsOf(place)).join("\n")).toMatch(/cannot be read/);
    },
  );

  test(
    "with another host's key makes no record that passes",
    attack("writes records of his own", "with another host's key"),
    async () => {
      const place = await useLog();
      const forger = { ...place, key: randomBytes(32) };
      await record(forger, 1);
      expect(await faultsOf(place)).not.toEqual([]);
    },
  );

  test(
    "by a link or a pipe in the log's place is refused, and does not hang",
    attack("puts something else in the log's place", "a link to /dev/zero"),
    async () => {
      const place = await useLog();
      rmSync(place.file);
      symlinkSync("/dev/zero", place.file);
      expect(await faultsOf(place)).not.toEqual([]);
      await expect(record(place, 1)).rejects.toMatchObject({ code: "AUDIT_UNWRITABLE" });
    },
  );
});

describe("the server's side", () => {
  const log = createLog({ level: "silent", format: "json" });

  test("writes what it was given, in order", async () => {
    const place = usePlace();
    const audit = openAuditLog(place, log);
    for (let n = 0; n < 500; n++) audit.record({ event: "license.warning", detail: { n } });
    await audit.close();
    expect((await recordsOf(place)).flatMap(({ detail }) => detail?.n ?? [])).toEqual([...Array(500).keys()]);
  });

  test("goes on when the log cannot be written, and writes all of it once it can", async () => {
    const place = usePlace();
    writeFileSync(place.directory, "in the way");
    const audit = openAuditLog(place, log);
    audit.record({ event: "license.warning", detail: { n: 1 } });
    await audit.flush();
    rmSync(place.directory);
    audit.record({ event: "license.warning", detail: { n: 2 } });
    await audit.close();
    expect((await recordsOf(place)).flatMap(({ detail }) => detail?.n ?? [])).toEqual([1, 2]);
  });

  test("waits for another writer, and then writes", async () => {
    const place = usePlace();
    await record(place, 1);
    const fd = openSync(place.directory, "r");
    expect(lockExclusively(fd)).toBe(true);
    const audit = openAuditLog(place, log);
    audit.record({ event: "server.started" });
    const closed = audit.close();
    expect(linesOf(place.file)).toHaveLength(2);
    closeSync(fd);
    await closed;
    expect((await recordsOf(place)).at(-1)?.event).toBe("server.started");
  });

  test(
    "counts refused calls instead of writing each, from however many addresses",
    attack("floods the audit log", "2,000 refused calls from 1,001 addresses"),
    () => {
      const written: AuditEntry[] = [];
      const refused = new RefusedCalls((entries) => written.push(...entries));
      for (let n = 0; n < 1000; n++) refused.add({ code: "UNAUTHENTICATED", identity: null, peer: "192.0.2.1" });
      for (let n = 0; n < 1000; n++) refused.add({ code: "UNAUTHENTICATED", identity: null, peer: `2001:db8::${n}` });
      refused.flush();
      expect(written).toHaveLength(MAX_LINES + 1);
      expect(written[0]).toEqual({
        event: "call.refused",
        code: "UNAUTHENTICATED",
        detail: { identity: null, peer: "192.0.2.1", calls: 1000 },
      });
      const calls = written.map(({ detail }) => detail?.calls as number);
      expect(calls.reduce((sum, each) => sum + each, 0)).toBe(2000);
      observed(`${written.length} lines that count all of them`);
    },
  );
});
