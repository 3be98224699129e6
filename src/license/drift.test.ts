import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { describeDrift } from "./drift.ts";
import { enroll, matchFingerprint, thresholdFor } from "./fingerprint.ts";
import type { Machine } from "./machine-fact.ts";
import type { ComponentType, License, Platform } from "./schema.ts";
import { verifyFingerprint } from "./verify.ts";

type Fact = [ComponentType, string, number];
const gpus = (...digits: number[]): Fact[] => digits.map((digit) => ["gpu", `gpu-${digit}`, 3]);
const board: Fact = ["board-serial", "board-secret", 3];
const uuid: Fact = ["system-uuid", "uuid-secret", 4];

function machineOf(facts: Fact[], unreadable: ComponentType[] = [], platform: Platform = "physical"): Machine {
  const all = facts.map(([type, value, weight]) => ({ type, value, weight }));
  return { platform, facts: all, unreadable, os: "Linux", arch: "x64" };
}

async function hostOf(facts: Fact[], platform: Platform = "physical"): Promise<License["host"]> {
  const salt = randomBytes(32);
  const components = await enroll(machineOf(facts), salt);
  const keys = { signingKey: "", wrappingKey: "", salt: salt.toString("base64") };
  return { ...keys, platform, components, ...thresholdFor(components) };
}

/** The drift between two machines in words. */
async function drift(before: Fact[], after: Fact[], unreadable: ComponentType[] = []): Promise<string | null> {
  return describeDrift(await matchFingerprint(await hostOf(before), machineOf(after, unreadable)));
}

async function refusal(host: License["host"], machine: Machine): Promise<string> {
  const refused = await verifyFingerprint({ host } as License, machine).catch((error) => error);
  expect(refused).toMatchObject({ code: "FINGERPRINT_MISMATCH" });
  return refused.message;
}

test("a machine on which everything is still there has no drift", async () => {
  expect(await drift([uuid, board, ...gpus(1, 2)], [uuid, board, ...gpus(2, 1)])).toBeNull();
  expect(await drift([uuid, board], [uuid, board, ...gpus(1, 2)])).toBeNull();
});

test("one of two GPUs or one of four is named and counts in full", async () => {
  const two = await drift([uuid, board, ...gpus(1, 2)], [uuid, board, ...gpus(1, 9)]);
  expect(two).toMatch(/gpu \(1 of 2 left, which counts in full\); 13 of 13 points match/);
  const four = await drift([uuid, board, ...gpus(1, 2, 3, 4)], [uuid, board, ...gpus(1, 2, 3, 9)]);
  expect(four).toMatch(/gpu \(3 of 4 left, which counts in full\); 13 of 13 points match/);
});

test("all GPUs replaced cost their points, and a host that has others goes on", async () => {
  const words = await drift(
    [uuid, board, ["disk", "d", 3], ...gpus(1, 2)],
    [uuid, board, ["disk", "d", 3], ...gpus(8)],
  );
  expect(words).toMatch(/gpu \(0 of 2 left\); 10 of 16 points match, 10 needed/);
});

test("what this user may not read is told apart from what was replaced", async () => {
  const words = await drift([uuid, board, ...gpus(1, 2)], [uuid, ...gpus(1, 2)], ["board-serial"]);
  expect(words).toMatch(/board-serial \(this user may not read it, root may\)/);
});

test("a refusal names types and points, and no value", async () => {
  const words = await refusal(await hostOf([uuid, board, ...gpus(1, 2)]), machineOf([["board-serial", "other", 3]]));
  expect(words).toMatch(/0 of 13 points match, 8 needed; 2 types must match, 0 do/);
  expect(words).toMatch(/differs: system-uuid, board-serial, gpu \(0 of 2 left\)/);
  expect(words).not.toMatch(/secret|other/);
});

test("a refused copy of a virtual machine is called one, though its points would do", async () => {
  const facts = [board, ["disk", "d", 3] as Fact, ...gpus(1, 2)];
  const copy = machineOf([["system-uuid", "uuid-other", 4], ...facts], [], "vm");
  expect(await refusal(await hostOf([uuid, ...facts], "vm"), copy)).toMatch(/12 of 16 points match, 10 needed; .*copy/);
});
