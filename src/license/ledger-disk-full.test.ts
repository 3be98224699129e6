import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, type TestOptions, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { expectCode, noLimits, useLedgerDesk } from "./ledger.fixture.ts";
import { readLedger } from "./ledger-place.ts";
import { startRun } from "./start-run.fixture.ts";

const attack = attacksOn("the ledger and the clock");

// One run per lease, so that every run needs the disk.
const limits = { runs: 100, runTimeMs: null, concurrency: 4 };

function useTinyDisk(): string {
  const root = mkdtempSync(join(tmpdir(), "signet-ledger-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", root]);
  onTestFinished(() => {
    execFileSync("umount", ["-l", root]);
    rmSync(root, { recursive: true, force: true });
  });
  return root;
}

function fillDisk(root: string): void {
  for (let bytes = 65_536; bytes >= 512; bytes /= 2)
    for (let i = 0; i < 3; i++)
      try {
        writeFileSync(join(root, `filler-${bytes}-${i}`), Buffer.alloc(bytes));
      } catch {
        // As full as it gets.
      }
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    const root = mkdtempSync(join(tmpdir(), "signet-mount-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", root], { stdio: "ignore" });
    execFileSync("umount", [root]);
    rmSync(root, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

/** Grants runs until one is refused because the disk is full; returns how many there were. */
function runUntilUnwritable(run: () => void): number {
  for (let runs = 0; ; runs++)
    try {
      run();
    } catch (error) {
      expect((error as { code: string }).code).toBe("LEDGER_UNWRITABLE");
      return runs;
    }
}

const isMountable = canMount();

/** The reason is part of the name, which is all that is printed of a skipped test. */
function needsMount(name: string, options: TestOptions, check: () => void | Promise<void>): void {
  const reason = "needs root, to mount a tiny disk that can be full";
  test.skipIf(!isMountable)(isMountable ? name : `${name} (${reason})`, options, check);
}

needsMount(
  "on a full disk no run is given, and all go on when there is space again",
  attack("fills the disk to run for free", "a tmpfs of 64 KiB"),
  () => {
    const root = useTinyDisk();
    const desk = useLedgerDesk(join(root, "desk"));
    const ledger = desk.open();
    const run = () => ledger.settle(startRun(ledger, "lic", "svc", limits));
    run();
    fillDisk(root);
    const given = 1 + runUntilUnwritable(run);
    for (let i = 0; i < 10; i++) expectCode(run, "LEDGER_UNWRITABLE");
    expect(ledger.fault?.code).toBe("LEDGER_UNWRITABLE");
    expect(ledger.totals("lic", "svc").runs).toBe(given);
    expect(readFileSync(desk.journal, "utf8").at(-1)).toBe("\n"); // nothing is left of the write that failed
    desk.clock.advance(5000);
    expect(readLedger(desk.place).totals("lic", "svc").runs).toBeLessThanOrEqual(given);

    execFileSync("sh", ["-c", `rm ${root}/filler-*`]);
    run();
    expect(ledger.fault).toBeNull();
    expect(ledger.totals("lic", "svc").runs).toBe(given + 1);
    ledger.close();
    expect(readLedger(desk.place).totals("lic", "svc")).toMatchObject({ runs: given + 1, leased: 0 });
  },
);

needsMount(
  "when run time cannot be settled, a lease that is left gives no run either",
  attack("fills the disk to save run time", "with a lease in hand"),
  () => {
    const root = useTinyDisk();
    const desk = useLedgerDesk(join(root, "desk"));
    const ledger = desk.open();
    const run = () => ledger.settle(startRun(ledger, "lic", "svc", noLimits));
    fillDisk(root);
    for (let i = 0; ledger.fault === null && i < 1000; i++) {
      run();
      desk.clock.advance(1000);
    }
    const { runs } = ledger.totals("lic", "svc");
    expectCode(run, "LEDGER_UNWRITABLE");
    execFileSync("sh", ["-c", `rm ${root}/filler-*`]);
    desk.clock.advance(1000);
    expect(ledger.fault).toBeNull();
    run();
    expect(ledger.totals("lic", "svc").runs).toBe(runs + 1);
  },
);

needsMount(
  "a ledger that could not be written before a crash is whole after it",
  attack("fills the disk and ends the server", "close() and open() on a full disk"),
  () => {
    const root = useTinyDisk();
    const desk = useLedgerDesk(join(root, "desk"));
    const ledger = desk.open();
    fillDisk(root);
    const given = runUntilUnwritable(() => ledger.settle(startRun(ledger, "lic", "svc", limits)));
    expectCode(() => ledger.close(), "LEDGER_UNWRITABLE");
    expectCode(() => desk.open(), "LEDGER_UNWRITABLE");
    execFileSync("sh", ["-c", `rm ${root}/filler-*`]);
    expect(desk.open().totals("lic", "svc").runs).toBe(given);
  },
);

needsMount("a disk too full for a new segment goes on with the old one", {}, () => {
  const root = useTinyDisk();
  const desk = useLedgerDesk(join(root, "desk"));
  const ledger = desk.open({ segmentBytes: 1 });
  ledger.settle(startRun(ledger, "lic", "svc", limits));
  fillDisk(root);
  const given = 1 + runUntilUnwritable(() => ledger.settle(startRun(ledger, "lic", "svc", limits)));
  execFileSync("sh", ["-c", `rm ${root}/filler-*`]);
  ledger.close();
  expect(readLedger(desk.place).totals("lic", "svc").runs).toBe(given);
});

needsMount(
  "on a disk that cannot be written any more no ledger is opened, and what it counted can still be read",
  attack("makes the disk read-only to run for free", "mount -o remount,ro"),
  () => {
    const root = useTinyDisk();
    const desk = useLedgerDesk(join(root, "desk"));
    const ledger = desk.open();
    ledger.settle(startRun(ledger, "lic", "svc", limits));
    ledger.close();
    execFileSync("mount", ["-o", "remount,ro", root]);
    expectCode(() => desk.open(), "LEDGER_UNWRITABLE");
    expect(readLedger(desk.place).totals("lic", "svc").runs).toBe(1);
    execFileSync("mount", ["-o", "remount,rw", root]);
    expect(desk.open().totals("lic", "svc").runs).toBe(1);
  },
);
