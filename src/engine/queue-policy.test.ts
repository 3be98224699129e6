import { expect, test } from "vitest";
import { type Priorities, QueuePolicies, type QueuePolicy } from "./queue-policy.ts";

const common: QueuePolicy = {
  maxQueue: 64,
  queueTimeoutMs: 100,
  queueTimeoutAction: "reject",
  allowTimeoutOverride: true,
};

const policies = (priorities: Partial<Priorities>, policy: Partial<QueuePolicy> = {}) =>
  new QueuePolicies({ ...common, ...policy }, { levels: 0, default: 0, queues: {}, ...priorities });

test("without levels any number is a priority", () => {
  expect([0, 1, 100, 2 ** 31].map((asked) => policies({}).priorityOf(asked))).toEqual([0, 1, 100, 2 ** 31]);
});

test("with levels, what is none of them is the default one, and that is the last unless it is said", () => {
  const asked = [0, 1, 3, 4, 100];
  expect(asked.map((each) => policies({ levels: 3 }).priorityOf(each))).toEqual([3, 1, 3, 3, 3]);
  expect(asked.map((each) => policies({ levels: 3, default: 2 }).priorityOf(each))).toEqual([2, 1, 3, 2, 2]);
});

test("a priority may have a policy of its own", () => {
  const own = { ...common, maxQueue: 1 };
  const all = policies({ levels: 2, queues: { 1: own } });
  expect([1, 2].map((priority) => all.of(priority))).toEqual([own, common]);
  expect([1, 2].map((priority) => all.isOwn(priority))).toEqual([true, false]);
});

test("a call may shorten its time to wait where it is allowed to, and never prolong it", () => {
  const timeoutOf = (policy: Partial<QueuePolicy>, asked: number | null) => policies({}, policy).timeoutMs(0, asked);
  expect([null, 50, 500].map((asked) => timeoutOf({}, asked))).toEqual([100, 50, 100]);
  expect([null, 50].map((asked) => timeoutOf({ allowTimeoutOverride: false }, asked))).toEqual([100, 100]);
  expect([null, 50].map((asked) => timeoutOf({ queueTimeoutMs: null }, asked))).toEqual([Infinity, 50]);
});
