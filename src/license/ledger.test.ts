import { statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { DAY_MS, expectCode, HOUR_MS, noLimits, readRecords, useLedgerDesk } from "./ledger.fixture.ts";
import { readLedger } from "./ledger-place.ts";
import { startRun } from "./start-run.fixture.ts";

const attack = attacksOn("the ledger and the clock");

const limits = { runs: 1000, runTimeMs: null, concurrency: 8 };

describe("charging runs", () => {
  test("a run is on disk as a debit before it starts", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    startRun(ledger, "lic", "svc", limits);
    const { runs, leased } = readLedger(desk.place).totals("lic", "svc");
    expect(runs + leased).toBeGreaterThanOrEqual(1);
  });

  test("runs and run time are counted exactly and survive a restart", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 500; i++) {
      const ticket = startRun(ledger, "lic", "svc", limits);
      desk.clock.advance(3);
      expect(ledger.settle(ticket)).toBe(3);
    }
    expect(ledger.totals("lic", "svc")).toEqual({ runs: 500, runTimeMs: 1500, inFlight: 0 });
    ledger.close();
    expect(desk.open().totals("lic", "svc")).toEqual({ runs: 500, runTimeMs: 1500, inFlight: 0 });
  });

  test(
    "exactly the licensed number of runs is given, across restarts",
    attack("restarts to get more runs", "1000 licensed, 3 restarts"),
    () => {
      const desk = useLedgerDesk();
      let given = 0;
      for (const part of [1, 300, 699]) {
        const ledger = desk.open();
        for (let i = 0; i < part; i++, given++) ledger.settle(startRun(ledger, "lic", "svc", limits));
        ledger.close();
      }
      expect(given).toBe(1000);
      expectCode(() => startRun(desk.open(), "lic", "svc", limits), "LICENSE_RUNS_EXHAUSTED");
    },
  );

  test("a renewal that allows more lets runs go on, one that allows fewer stops them at once", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 10; i++) ledger.settle(startRun(ledger, "lic", "svc", { ...limits, runs: 10 }));
    expectCode(() => startRun(ledger, "lic", "svc", { ...limits, runs: 10 }), "LICENSE_RUNS_EXHAUSTED");
    ledger.settle(startRun(ledger, "lic", "svc", { ...limits, runs: 5000 }));
    expectCode(() => startRun(ledger, "lic", "svc", { ...limits, runs: 11 }), "LICENSE_RUNS_EXHAUSTED");
  });

  test("services and licenses are charged apart", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    ledger.settle(startRun(ledger, "lic", "one", limits));
    ledger.settle(startRun(ledger, "lic", "two", limits));
    ledger.settle(startRun(ledger, "other", "one", limits));
    ledger.settle(startRun(ledger, "lic", "one", limits));
    ledger.beat();
    expect(ledger.head("lic").totals).toEqual({ one: { runs: 2, runTimeMs: 0 }, two: { runs: 1, runTimeMs: 0 } });
    expect(ledger.head("other").totals).toEqual({ one: { runs: 1, runTimeMs: 0 } });
  });

  test("run time of runs that overlap adds up, also while they are running", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    const first = startRun(ledger, "lic", "svc", limits);
    desk.clock.advance(100);
    const second = startRun(ledger, "lic", "svc", limits);
    desk.clock.advance(50);
    expect(ledger.totals("lic", "svc")).toEqual({ runs: 2, runTimeMs: 200, inFlight: 2 });
    ledger.settle(first);
    desk.clock.advance(10);
    ledger.settle(second);
    expect(ledger.totals("lic", "svc")).toEqual({ runs: 2, runTimeMs: 210, inFlight: 0 });
  });

  test(
    "run time ignores the wall clock",
    attack("stops the wall clock during runs", "run time by the monotonic clock"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      const ticket = startRun(ledger, "lic", "svc", limits);
      desk.clock.advance(100);
      desk.clock.wall -= 5 * HOUR_MS;
      const charged = ledger.settle(ticket);
      expect(charged).toBe(100);
      observed(`${charged} ms are charged`);
    },
  );

  test(
    "used-up run time refuses the next run, and counts what is still in flight",
    attack("overlaps runs to save run time", "1000 ms licensed"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      const timed = { ...limits, runTimeMs: 1000 };
      startRun(ledger, "lic", "svc", timed);
      desk.clock.advance(999);
      ledger.settle(startRun(ledger, "lic", "svc", timed));
      desk.clock.advance(1);
      expectCode(() => startRun(ledger, "lic", "svc", timed), "LICENSE_RUN_TIME_EXHAUSTED");
    },
  );

  test("settling twice counts once", attack("settles a run twice", "to get time back"), () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    const ticket = startRun(ledger, "lic", "svc", limits);
    desk.clock.advance(7);
    ledger.settle(ticket);
    desk.clock.advance(7);
    expect(ledger.settle(ticket)).toBe(7);
    ledger.cancel(ticket);
    expect(ledger.totals("lic", "svc")).toEqual({ runs: 1, runTimeMs: 7, inFlight: 0 });
    observed("counted once");
  });
});

describe("cancelling", () => {
  test("a run that never began is given back", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    const once = { ...limits, runs: 1 };
    ledger.cancel(startRun(ledger, "lic", "svc", once));
    ledger.settle(startRun(ledger, "lic", "svc", once));
    expectCode(() => startRun(ledger, "lic", "svc", once), "LICENSE_RUNS_EXHAUSTED");
  });

  test("a run that was charged before it was cancelled pays for the next one, and totals on disk never shrink", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    const ticket = startRun(ledger, "lic", "svc", limits);
    desk.clock.advance(1500);
    expect(ledger.head("lic").totals.svc).toEqual({ runs: 1, runTimeMs: 1000 });
    ledger.cancel(ticket);
    desk.clock.advance(3000);
    expect(ledger.head("lic").totals.svc).toEqual({ runs: 1, runTimeMs: 1000 });
    const second = startRun(ledger, "lic", "svc", limits);
    desk.clock.advance(200);
    ledger.settle(second);
    ledger.close();
    expect(readLedger(desk.place).head("lic").totals.svc).toEqual({ runs: 1, runTimeMs: 1000 });
  });
});

describe("leases", () => {
  test("a lease is at most one percent of what remains, and at least one run", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 1000; i++) ledger.settle(startRun(ledger, "lic", "svc", limits));
    let settled = 0;
    for (const record of readRecords(desk.journal).filter(({ k }) => k === "lease")) {
      settled += record.r as number;
      expect(record.n).toBeLessThanOrEqual(Math.max(1, (1000 - settled) / 100));
    }
    expect(settled).toBe(999);
  });

  test("leases double while they are used up quickly, up to 4096", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 20_000; i++) ledger.settle(startRun(ledger, "lic", "svc", { ...limits, runs: 1e9 }));
    const leases = readRecords(desk.journal).filter(({ k }) => k === "lease");
    expect(leases.map(({ n }) => n)).toEqual([64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096, 4096]);
  });

  test("a slow service keeps small leases", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    for (let i = 0; i < 200; i++) {
      ledger.settle(startRun(ledger, "lic", "svc", { ...limits, runs: 1e9 }));
      desk.clock.advance(500);
    }
    const leases = readRecords(desk.journal).filter(({ k }) => k === "lease");
    expect(leases.map(({ n }) => n)).toEqual([64, 64, 64, 64]);
  });

  test("an unlimited service leases 4096", () => {
    const desk = useLedgerDesk();
    startRun(desk.open(), "lic", "svc", noLimits);
    expect(readLedger(desk.place).totals("lic", "svc").leased).toBe(4096);
  });

  test("a second without activity gives the rest of a lease back and lets the beat rest", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    ledger.settle(startRun(ledger, "lic", "svc", noLimits));
    expect(desk.clock.scheduled).toBe(1);
    desk.clock.advance(1000);
    expect(readLedger(desk.place).totals("lic", "svc")).toEqual({ runs: 1, runTimeMs: 0, leased: 4095 });
    desk.clock.advance(1000);
    expect(readLedger(desk.place).totals("lic", "svc")).toEqual({ runs: 1, runTimeMs: 0, leased: 0 });
    desk.clock.advance(5000);
    expect(desk.clock.scheduled).toBe(0);
    const { size } = statSync(desk.journal);
    desk.clock.advance(HOUR_MS);
    expect(statSync(desk.journal).size).toBe(size);
  });

  test("a long run is accounted for every second", () => {
    const desk = useLedgerDesk();
    startRun(desk.open(), "lic", "svc", limits);
    desk.clock.advance(5500);
    expect(readLedger(desk.place).totals("lic", "svc").runTimeMs).toBe(5000);
  });

  test("closing settles what is in flight and holds no lease", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    const ticket = startRun(ledger, "lic", "svc", noLimits);
    desk.clock.advance(250.5);
    ledger.close();
    expect(readLedger(desk.place).totals("lic", "svc")).toEqual({ runs: 1, runTimeMs: 251, leased: 0 });
    expect(ledger.settle(ticket)).toBe(250.5);
    expectCode(() => startRun(ledger, "lic", "svc", noLimits), "SHUTTING_DOWN");
    expect(desk.open().notices).toEqual([]);
  });
});

describe("the clock", () => {
  test(
    "a clock more than a day behind what was seen is refused, less is tolerated",
    attack("sets the clock back far", "more than a day"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      desk.clock.wall -= DAY_MS;
      ledger.verifyClock();
      for (const wall of [desk.clock.wall - 1, Number.NaN]) {
        desk.clock.wall = wall;
        expectCode(() => ledger.verifyClock(), "CLOCK_SET_BACK");
      }
    },
  );

  test(
    "what was seen is remembered over a restart of the machine",
    attack("restarts the machine to forget the time", "set back over a restart"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      const seen = desk.clock.wall;
      ledger.close();
      desk.clock.reboot(-2 * DAY_MS);
      const again = desk.open();
      expect(again.highWaterMs).toBe(seen);
      expect(again.nowMs).toBe(seen);
      expectCode(() => again.verifyClock(), "CLOCK_SET_BACK");
    },
  );

  test(
    "setting the clock back every night does not stop time while the machine is up",
    attack("sets the clock back every night", "by hours"),
    () => {
      const desk = useLedgerDesk();
      const began = desk.clock.wall;
      for (let night = 0; night < 3; night++) {
        const ledger = desk.open();
        desk.clock.advance(20 * HOUR_MS);
        desk.clock.wall = began;
        expect(ledger.nowMs).toBe(began + (night + 1) * 20 * HOUR_MS);
        ledger.close();
      }
      expectCode(() => desk.open().verifyClock(), "CLOCK_SET_BACK");
    },
  );

  test("a jump of the wall clock is written down once", () => {
    const desk = useLedgerDesk();
    const ledger = desk.open();
    desk.clock.wall -= HOUR_MS;
    for (let i = 0; i < 3; i++) {
      ledger.settle(startRun(ledger, "lic", "svc", limits));
      desk.clock.advance(1000);
    }
    expect(readRecords(desk.journal).filter(({ k }) => k === "clock")).toMatchObject([{ d: -HOUR_MS }]);
  });

  test(
    "a mistyped year that is corrected does not lock the host out",
    attack("sets the clock to next year and back", "a poisoned high-water mark"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      desk.clock.wall += 3650 * DAY_MS;
      ledger.settle(startRun(ledger, "lic", "svc", limits));
      desk.clock.advance(HOUR_MS);
      desk.clock.wall -= 3650 * DAY_MS;
      ledger.verifyClock();
      ledger.close();
      desk.open().verifyClock();
      observed("nobody is locked out");
    },
  );

  test(
    "a leap ahead that lasts a day, or a restart of the machine, is believed",
    attack("sets the clock ahead to begin again", "30 days, for a day or over a restart, and back"),
    () => {
      for (const outlast of ["a day", "a restart"]) {
        const desk = useLedgerDesk();
        const ledger = desk.open();
        desk.clock.wall += 30 * DAY_MS;
        ledger.admit("lic", 1);
        if (outlast === "a day") desk.clock.advance(DAY_MS);
        ledger.close();
        if (outlast === "a restart") desk.clock.reboot(1000);
        const again = desk.open();
        expect(again.highWaterMs).toBe(desk.clock.wall);
        desk.clock.wall -= 2 * DAY_MS;
        expectCode(() => again.verifyClock(), "CLOCK_SET_BACK");
      }
    },
  );
});

describe("licenses", () => {
  test(
    "an older license is refused after a newer one was used, also after a restart",
    attack("uses an older license", "after a newer one"),
    () => {
      const desk = useLedgerDesk();
      const ledger = desk.open();
      ledger.admit("lic", 3);
      ledger.admit("lic", 3);
      ledger.admit("other", 1);
      expectCode(() => ledger.admit("lic", 2), "LICENSE_SUPERSEDED");
      ledger.close();
      const again = desk.open();
      expectCode(() => again.admit("lic", 2), "LICENSE_SUPERSEDED");
      expect([again.highestSequence("lic"), again.highestSequence("unknown")]).toEqual([3, 0]);
    },
  );

  test(
    "a license that was given back stays given back, and revocation lists only grow",
    attack("uses a license that was given back", "after many records, and a restart"),
    async () => {
      const desk = useLedgerDesk();
      const ledger = desk.open({ segmentBytes: 1000 });
      const [rootKeyId, signerKeyId] = ["a".repeat(64), "b".repeat(64)];
      ledger.admitRevocations([{ rootKeyId, signerKeyId, number: 2 }]);
      ledger.deactivate("lic");
      const { sequence } = ledger.head("lic");
      ledger.deactivate("lic");
      ledger.admitRevocations([{ rootKeyId, signerKeyId, number: 1 }]);
      expect(ledger.head("lic").sequence).toBe(sequence);
      ledger.admitRevocations([{ rootKeyId, signerKeyId, number: 3 }]);
      // Beyond a change of segments, whose first record must say it again.
      for (let run = 0; run < 50; run++) {
        ledger.settle(startRun(ledger, "other", "svc", noLimits));
        ledger.beat();
        desk.clock.advance(2000);
      }
      await ledger.archiving;
      ledger.close();
      const again = readLedger(desk.place);
      expect([again.isDeactivated("lic"), again.isDeactivated("other")]).toEqual([true, false]);
      observed("stays given back");
      expect(again.revocationNumbers).toEqual([{ rootKeyId, signerKeyId, number: 3 }]);
    },
  );
});
