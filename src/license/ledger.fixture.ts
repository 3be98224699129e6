import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { type ErrorCode, SignetError } from "../errors.ts";
import { type Ledger, type LedgerOptions, openLedger, type RunLimits } from "./ledger.ts";
import { lockFile } from "./ledger-lock.fixture.ts";
import type { LedgerPlace } from "./ledger-place.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const noLimits: RunLimits = { runs: null, runTimeMs: null, concurrency: 8 };

/** A clock that stands still until it is told to go on; what was scheduled then happens in time. */
export class FakeClock {
  wall = Date.UTC(2030, 0, 1);
  monotonic = 5000;
  boot = "boot-one";
  #timers: { atMs: number; callback: () => void }[] = [];

  wallMs(): number {
    return this.wall;
  }

  monotonicMs(): number {
    return this.monotonic;
  }

  bootId(): string {
    return this.boot;
  }

  schedule = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { atMs: this.monotonic + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  get scheduled(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    const end = this.monotonic + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      const step = (next?.atMs ?? end) - this.monotonic;
      this.monotonic += step;
      this.wall += step;
      if (!next) return;
      this.#timers = this.#timers.filter((other) => other !== next);
      next.callback();
    }
  }

  /** The machine is started again after `offMs`. */
  reboot(offMs: number): void {
    this.wall += offMs;
    this.monotonic = 1000;
    this.boot = `${this.boot}+`;
    this.#timers = [];
  }
}

export interface LedgerDesk {
  readonly place: LedgerPlace;
  readonly clock: FakeClock;
  readonly journal: string;
  readonly anchors: [string, string];
  /** Opens the ledger; the first time it is created. Whatever is still open at the end of the test is closed. */
  open(options?: Partial<LedgerOptions>): Ledger;
}

/** A place for one ledger, under a directory of its own that goes away with the test. */
export function useLedgerDesk(root = mkdtempSync(join(tmpdir(), "signet-ledger-"))): LedgerDesk {
  const place = {
    directory: join(root, "ledger"),
    anchorFile: join(root, "elsewhere", "anchor"),
    key: Buffer.alloc(32, 7),
  };
  const clock = new FakeClock();
  const opened: Ledger[] = [];
  onTestFinished(async () => {
    for (const ledger of opened) {
      ledger.close();
      await ledger.archiving;
    }
    rmSync(root, { recursive: true, force: true });
  });
  return {
    place,
    clock,
    journal: join(place.directory, "journal.jsonl"),
    anchors: [join(place.directory, "anchor.json"), place.anchorFile],
    open(options) {
      const ledger = openLedger({ ...place, lock: lockFile, clock, create: opened.length === 0, ...options });
      opened.push(ledger);
      return ledger;
    },
  };
}

/** The records of a journal, without their MACs. */
export function readRecords(journal: string): Record<string, unknown>[] {
  const lines = readFileSync(journal, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line.slice(0, line.indexOf("\t"))));
}

export function expectCode(act: () => unknown, code: ErrorCode): void {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SignetError);
  expect((thrown as SignetError).code).toBe(code);
}
