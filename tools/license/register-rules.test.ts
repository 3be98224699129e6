import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { LedgerHead, Limits } from "../../src/license/index.ts";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import type { Issued, RegisterLine } from "./register.ts";
import {
  remainingLimits,
  verifyFirstTrial,
  verifyLedgerAdvanced,
  verifyNotWithdrawn,
  verifyNumber,
} from "./register-rules.ts";

const attack = attacksOn("the vendor's desk");

const [host, other] = ["a".repeat(64), "b".repeat(64)];
const licenseId = randomUUID();

const head = (sequence: number, runs: number, change: Partial<LedgerHead> = {}): LedgerHead => ({
  sequence,
  mac: `mac${sequence}`,
  licenseId,
  totals: { demo: { runs, runTimeMs: runs * 10 } },
  ...change,
});

const line = (change: Partial<Issued>): RegisterLine => ({
  ...{ line: 1, at: "2026-11-21T12:00:00.000Z", previous: "0".repeat(64) },
  ...{ event: "issued", licenseId, sequence: 1, kind: "full", customer: "c", requestId: randomUUID() },
  ...{ hostKeyId: host, expires: "2027-11-21T12:00:00.000Z", services: {} },
  ...{ ledger: null, rollbackAccepted: null, movedFrom: null },
  ...change,
});

describe("the ledger a host quotes", () => {
  const lines = [line({}), line({ ledger: head(9, 30) })];
  const verify = (quoted: LedgerHead | undefined, all = lines) => codeOf(() => verifyLedgerAdvanced(all, host, quoted));

  test("may stay where it was or go on", () => {
    expect(verify(head(9, 30))).toBe("none");
    expect(verify(head(12, 31))).toBe("none");
    expect(verify(undefined, [line({})])).toBe("none");
  });

  test.each([
    ["is gone", undefined],
    ["is shorter", head(8, 30)],
    ["is another one of the same length", head(9, 30, { mac: "other" })],
    ["is longer and has fewer runs", head(20, 29)],
    ["has less run time", head(20, 30, { totals: { demo: { runs: 30, runTimeMs: 299 } } })],
    ["has lost a service", head(20, 30, { totals: {} })],
  ])("is refused when it %s", attack.each("asks for a renewal with a ledger that went back"), (_, quoted) => {
    expect(verify(quoted)).toBe("HOST_LEDGER_WENT_BACK");
  });

  test("is compared by totals only with the same license's", () => {
    expect(verify(head(20, 0, { licenseId: randomUUID() }))).toBe("none");
    expect(verify(head(8, 0, { licenseId: randomUUID() }))).toBe("HOST_LEDGER_WENT_BACK");
  });

  test("of another host is no measure", () => {
    expect(codeOf(() => verifyLedgerAdvanced(lines, other, head(1, 0)))).toBe("none");
  });

  test("that went back with the vendor's consent counts from there", () => {
    const accepted = [...lines, line({ ledger: head(3, 5), rollbackAccepted: "a disk died" })];
    expect(verify(head(4, 6), accepted)).toBe("none");
    expect(verify(head(2, 6), accepted)).toBe("HOST_LEDGER_WENT_BACK");
  });

  test(
    "is also measured by the host's own receipts",
    attack("goes back behind a receipt", "a ledger shorter than the receipt's"),
    () => {
      const moved = [line({ hostKeyId: other, movedFrom: { licenseId, hostKeyId: host, ledger: head(40, 90) } })];
      expect(verify(head(39, 90), moved)).toBe("HOST_LEDGER_WENT_BACK");
      expect(verify(head(41, 90), moved)).toBe("none");
    },
  );
});

test("a host key has one trial", attack("asks for a second trial", "the same host key"), () => {
  const lines = [line({}), line({ kind: "trial", hostKeyId: other })];
  expect(codeOf(() => verifyFirstTrial(lines, host))).toBe("none");
  expect(codeOf(() => verifyFirstTrial(lines, other))).toBe("TRIAL_USED");
});

test(
  "a number goes on for the same host only, above every sequence, and not after a move",
  attack("takes over another host's license", "its number, an old number, a moved one"),
  () => {
    const lines = [line({ sequence: 3 })];
    const verify = (sequence: number, hostKeyId = host, all = lines) =>
      codeOf(() => verifyNumber(all, { licenseId, sequence }, hostKeyId));
    expect(verify(4)).toBe("none");
    expect(verify(3)).toBe("USAGE");
    expect(verify(4, other)).toBe("HOST_KEY_MISMATCH");
    const movedFrom = { licenseId, hostKeyId: host, ledger: head(1, 1) };
    expect(verify(4, host, [...lines, line({ licenseId: randomUUID(), movedFrom })])).toBe("ALREADY_MOVED");
  },
);

test("what was withdrawn is not renewed, and a withdrawn issuer signs nothing any more", () => {
  const place = { line: 2, at: "2026-11-21T12:00:00.000Z", previous: "0".repeat(64) };
  const withdrawn: RegisterLine = {
    ...{ ...place, event: "withdrawn", number: 1, reason: null },
    ...{ licenses: [licenseId], issuers: ["c".repeat(64)] },
  };
  const verify = (id: string, issuerKeyId: string) =>
    codeOf(() => verifyNotWithdrawn([line({}), withdrawn], id, issuerKeyId));
  expect(verify(licenseId, "d".repeat(64))).toBe("ALREADY_WITHDRAWN");
  expect(verify(randomUUID(), "c".repeat(64))).toBe("ALREADY_WITHDRAWN");
  expect(verify(randomUUID(), "d".repeat(64))).toBe("none");
});

test("what is left is the old limit less what was used, never below nothing", () => {
  const limits: Limits = {
    ...{ runs: 5000, runTimeMs: 9, jobTimeMs: 7, concurrency: 2 },
    ...{ notBefore: null, expires: null },
  };
  const old = { ...limits, runs: 1000, runTimeMs: 500 };
  const used = { runs: 300, runTimeMs: 600 };
  expect(remainingLimits(limits, old, used)).toEqual({ ...limits, runs: 700, runTimeMs: 0 });
  expect(remainingLimits(limits, { ...old, runs: null }, used).runs).toBeNull();
  expect(remainingLimits(limits, undefined, used)).toEqual(limits);
});
