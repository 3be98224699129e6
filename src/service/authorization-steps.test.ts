import { expect, test } from "vitest";
import { type ErrorCode, errorCatalogue, SignetError } from "../errors.ts";
import { authorizationSteps, reportSteps } from "./authorization-steps.ts";

const codesOfSteps: readonly string[] = authorizationSteps.flatMap(({ codes }) => codes);

test("every code that first authorization can refuse with belongs to one step", () => {
  const elsewhere = ["LICENSE_RUNS_EXHAUSTED", "LICENSE_RUN_TIME_EXHAUSTED", "LIBRARY_CHANGED"];
  const expected = Object.keys(errorCatalogue).filter(
    (code) =>
      /^(LICENSE|CONF|LEDGER|LIBRARY|TRUST_ROOT|HOST_KEY|REVOCATION)_|^(CLOCK_SET_BACK|FINGERPRINT_MISMATCH|PLUGIN_INCOMPATIBLE)$/.test(
        code,
      ) && !elsewhere.includes(code),
  );
  expect([...codesOfSteps].sort()).toEqual(expected.sort());
});

test("steps before the refusal have passed, those after it were not reached", () => {
  const states = reportSteps(new SignetError("LICENSE_EXPIRED", "expired")).map(({ state }) => state);
  const refused = states.indexOf("refused");
  expect(new Set(states.slice(0, refused))).toEqual(new Set(["passed"]));
  expect(new Set(states.slice(refused + 1))).toEqual(new Set(["not reached"]));
});

test("a refusal says its code at its step only", () => {
  const codes = reportSteps(new SignetError("LEDGER_MISSING", "gone")).map(({ code }) => code);
  expect(codes.filter((code) => code !== null)).toEqual(["LEDGER_MISSING"]);
});

test("without a refusal every step has passed", () => {
  expect(new Set(reportSteps(null).map(({ state }) => state))).toEqual(new Set(["passed"]));
});

test.each(["FILE_UNREADABLE", "INTERNAL"] satisfies ErrorCode[])(
  "%s could be any step's, so none is claimed",
  (code) => {
    expect(reportSteps(new SignetError(code, "somewhere"))).toEqual([]);
  },
);
