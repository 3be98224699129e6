import { expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import type { Identity } from "./access.ts";
import { type CallLimits, CallQuotas, noLimits } from "./call-quotas.ts";

const attack = attacksOn("the server's time and memory");

function useQuotas() {
  const clock = { nowMs: 1000 };
  const quotas = new CallQuotas(() => clock.nowMs);
  const codeFor = (identity: Identity) => {
    const admission = quotas.admit(identity);
    return admission.isAdmitted ? "admitted" : admission.error.code;
  };
  return { clock, quotas, codeFor };
}

function identity(limits: Partial<CallLimits>, id = "a"): Identity {
  return { id, name: id, role: "client", limits: { ...noLimits, ...limits }, require: () => undefined };
}

test("an identity without limits is always admitted", () => {
  const { codeFor } = useQuotas();
  const codes = Array.from({ length: 10_000 }, () => codeFor(identity({})));
  expect(new Set(codes)).toEqual(new Set(["admitted"]));
});

test(
  "after a pause a second's calls are admitted at once, then as many as the rate gives",
  attack("calls faster than it may", "callsPerSecond: 5"),
  () => {
    const { clock, quotas, codeFor } = useQuotas();
    const limited = identity({ callsPerSecond: 5 });
    expect(Array.from({ length: 6 }, () => codeFor(limited))).toEqual([...Array(5).fill("admitted"), "RATE_LIMITED"]);
    expect(quotas.admit(limited)).toMatchObject({ isAdmitted: false, retryAfterMs: 200 });
    clock.nowMs += 199;
    expect(codeFor(limited)).toBe("RATE_LIMITED");
    clock.nowMs += 1;
    expect(codeFor(limited)).toBe("admitted");
    clock.nowMs += 3_600_000;
    expect(Array.from({ length: 6 }, () => codeFor(limited)).filter((code) => code === "admitted")).toHaveLength(5);
  },
);

test("a rate below one in a second admits one, and tells how long the next has to wait", () => {
  const { clock, quotas, codeFor } = useQuotas();
  const slow = identity({ callsPerSecond: 0.1 });
  expect(codeFor(slow)).toBe("admitted");
  expect(quotas.admit(slow)).toMatchObject({ retryAfterMs: 10_000 });
  clock.nowMs += 10_000;
  expect(codeFor(slow)).toBe("admitted");
});

test("a burst of its own is kept", () => {
  const { codeFor } = useQuotas();
  const bursty = identity({ callsPerSecond: 1, burst: 3 });
  expect(Array.from({ length: 4 }, () => codeFor(bursty))).toEqual([...Array(3).fill("admitted"), "RATE_LIMITED"]);
});

test(
  "a place among running calls is free again when one ended, and only once",
  attack("has more calls than it may", "concurrent: 1, one release twice"),
  () => {
    const { quotas, codeFor } = useQuotas();
    const limited = identity({ concurrent: 1 });
    const first = quotas.admit(limited);
    expect(codeFor(limited)).toBe("TOO_MANY_CALLS");
    if (first.isAdmitted) {
      first.release();
      first.release();
    }
    expect([codeFor(limited), codeFor(limited)]).toEqual(["admitted", "TOO_MANY_CALLS"]);
  },
);

test("a call that is refused for its concurrency takes nothing from the rate", () => {
  const { quotas, codeFor } = useQuotas();
  const limited = identity({ callsPerSecond: 2, concurrent: 1 });
  const first = quotas.admit(limited);
  for (let n = 0; n < 10; n++) expect(codeFor(limited)).toBe("TOO_MANY_CALLS");
  if (first.isAdmitted) first.release();
  expect(codeFor(limited)).toBe("admitted");
});

test("one identity's calls are not another's", () => {
  const { codeFor } = useQuotas();
  expect(codeFor(identity({ callsPerSecond: 1 }, "a"))).toBe("admitted");
  expect(codeFor(identity({ callsPerSecond: 1 }, "a"))).toBe("RATE_LIMITED");
  expect(codeFor(identity({ callsPerSecond: 1 }, "b"))).toBe("admitted");
});

test("a call in a place that its caller holds already counts against the rate alone", () => {
  const { quotas, codeFor } = useQuotas();
  const limited = identity({ callsPerSecond: 1, burst: 3, concurrent: 1 });
  expect(codeFor(limited)).toBe("admitted");
  expect(codeFor(limited)).toBe("TOO_MANY_CALLS");
  const codes = Array.from({ length: 3 }, () => {
    const admission = quotas.admitInPlace(limited);
    return admission.isAdmitted ? "admitted" : admission.error.code;
  });
  expect(codes).toEqual(["admitted", "admitted", "RATE_LIMITED"]);
});
