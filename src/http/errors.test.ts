import { expect, test } from "vitest";
import { type ErrorCode, errorCatalogue, SignetError } from "../errors.ts";
import { failureFromError, httpStatusOf } from "./errors.ts";

const statusOf = (code: ErrorCode) => httpStatusOf(new SignetError(code, "words"));

test("an error becomes its status, with its code in body and header and its next step behind it", () => {
  const { status, headers, body } = failureFromError(new SignetError("SERVICE_BUSY", "2 of 2 jobs are running"));
  expect(status).toBe(429);
  expect(headers).toEqual({ "signet-code": "SERVICE_BUSY" });
  expect(body).toEqual({ error: expect.stringMatching(/^2 of 2 jobs are running\. Try again/), code: "SERVICE_BUSY" });
});

test("every code has a status of a failure", () => {
  for (const code of Object.keys(errorCatalogue) as ErrorCode[])
    expect([code, statusOf(code) >= 400]).toEqual([code, true]);
});

test("what trying again does not help is not said to be too many requests", () => {
  expect(statusOf("LICENSE_RUNS_EXHAUSTED")).toBe(403);
  expect(statusOf("REQUEST_TOO_LARGE")).toBe(413);
  expect([statusOf("QUEUE_FULL"), statusOf("RATE_LIMITED")]).toEqual([429, 429]);
});

test("when to come again is told in whole seconds, never too few", () => {
  expect(failureFromError(new SignetError("RATE_LIMITED", "words"), 1001).headers["retry-after"]).toBe("2");
});

test("what was not foreseen is told as INTERNAL without its words, and no cause is told", () => {
  const inside = { cause: new Error("/var/lib/secret/path") };
  for (const thrown of [inside.cause, new SignetError("PLUGIN_FAILED", "words", inside)]) {
    expect(JSON.stringify(failureFromError(thrown))).not.toContain("secret");
  }
  expect(failureFromError(inside.cause)).toMatchObject({ status: 500, body: { code: "INTERNAL" } });
});

test("long words with half a character at the cut can still be sent", () => {
  const { error } = failureFromError(new SignetError("PLUGIN_FAILED", "😀".repeat(10_000).slice(1))).body;
  expect(error.length).toBeLessThan(1200);
  expect(error.isWellFormed()).toBe(true);
});
