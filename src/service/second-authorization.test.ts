import { expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import type { License } from "../license/index.ts";
import { DAY_MS, expectCode, HOUR_MS, noLimits, useLedgerDesk } from "../license/ledger.fixture.ts";
import type { AuthorizedService } from "./first-authorization.ts";
import { SecondAuthorization } from "./second-authorization.ts";

const attack = attacksOn("the ledger and the clock");

/** A service of a license of 30 days, on a host whose clock can be set. */
function useService(enforcement: "strict" | "advisory") {
  const desk = useLedgerDesk();
  const at = (ms: number) => new Date(desk.clock.wall + ms).toISOString();
  const license = { licenseId: "x", notBefore: at(-DAY_MS), expires: at(30 * DAY_MS), graceDays: 0, enforcement };
  const limits = { ...noLimits, jobTimeMs: null, notBefore: null, expires: null };
  const service = { conf: { name: "ocr", limits }, files: { areUntouched: true } };
  const parts = [license as License, desk.open(), service as AuthorizedService] as const;
  return { clock: desk.clock, authorization: new SecondAuthorization(...parts) };
}

test.each(["strict", "advisory"] as const)(
  "a clock set far back refuses calls until it is right: %s",
  attack.each("sets the clock back while the server runs"),
  (enforcement) => {
    const { clock, authorization } = useService(enforcement);
    clock.wall -= DAY_MS;
    authorization.end(authorization.begin());
    clock.wall -= HOUR_MS;
    expectCode(() => authorization.verify(), "CLOCK_SET_BACK");
    expectCode(() => authorization.begin(), "CLOCK_SET_BACK");
    clock.wall += HOUR_MS;
    expect(authorization.verify()).toBeUndefined();
    authorization.end(authorization.begin());
  },
);

test("the end of a license refuses the next call and not the run that has begun", () => {
  const { clock, authorization } = useService("strict");
  const run = authorization.begin();
  clock.wall += 400 * DAY_MS;
  expectCode(() => authorization.begin(), "LICENSE_EXPIRED");
  authorization.end(run);
});
