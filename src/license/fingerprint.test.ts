import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { enroll, isWeak, matchFingerprint, thresholdFor, weightOf } from "./fingerprint.ts";
import type { Machine, MachineFact } from "./machine-fact.ts";
import type { ComponentType, License, Platform } from "./schema.ts";

const attack = attacksOn("the host's identity");

const salt = randomBytes(32);

function machineOf(facts: [ComponentType, string, number][], platform: Platform = "physical"): Machine {
  return {
    platform,
    facts: facts.map(([type, value, weight]): MachineFact => ({ type, value, weight })),
    unreadable: [],
    os: "Linux",
    arch: "x64",
  };
}

async function hostOf(machine: Machine): Promise<License["host"]> {
  const components = await enroll(machine, salt);
  const keys = { signingKey: "", wrappingKey: "", salt: salt.toString("base64") };
  return { ...keys, platform: machine.platform, components, ...thresholdFor(components) };
}

const uuid: [ComponentType, string, number] = ["system-uuid", "uuid-1", 4];
const board: [ComponentType, string, number] = ["board-serial", "board-1", 3];
const disk: [ComponentType, string, number] = ["disk", "disk-1", 3];
const cards: [ComponentType, string, number][] = [
  ["nic", "nic-1", 2],
  ["nic", "nic-2", 2],
  ["nic", "nic-3", 2],
];
const gpuOf = (digit: number): [ComponentType, string, number] => ["gpu", `gpu-${digit}`, 3];
const id: [ComponentType, string, number] = ["machine-id", "id-1", 1];
const full = machineOf([uuid, board, disk, ...cards, gpuOf(1), gpuOf(2), gpuOf(3), id]);

test("the same machine matches whole, and nothing is reported as changed", async () => {
  const match = await matchFingerprint(await hostOf(full), full);
  expect(match).toMatchObject({
    isMatch: true,
    matchedWeight: 21,
    enrolledWeight: 21,
    threshold: 13,
    changedTypes: [],
  });
});

test("no raw value leaves the host, and two requests cannot be linked", async () => {
  const components = await enroll(full, salt);
  expect(JSON.stringify(components)).not.toMatch(/uuid-1|board-1|nic-1|gpu-1/);
  const again = await enroll(full, randomBytes(32));
  const hashes = new Set(components.map((component) => component.hash));
  expect(again.some((component) => hashes.has(component.hash))).toBe(false);
});

test("equal values of two types have different hashes", async () => {
  const components = await enroll(
    machineOf([
      ["board-serial", "same", 3],
      ["chassis-serial", "same", 1],
    ]),
    salt,
  );
  expect(components[0]!.hash).not.toBe(components[1]!.hash);
});

test("only the best two network cards are enrolled", async () => {
  const components = await enroll(full, salt);
  expect(components.filter((component) => component.type === "nic")).toHaveLength(2);
});

test("a changed network card and disk do not stop a host, and are named", async () => {
  const repaired = machineOf([
    uuid,
    board,
    ["disk", "disk-2", 3],
    ["nic", "nic-9", 2],
    cards[1]!,
    gpuOf(1),
    gpuOf(2),
    id,
  ]);
  const match = await matchFingerprint(await hostOf(full), repaired);
  expect(match.isMatch).toBe(true);
  expect(match.changedTypes).toEqual(["disk", "nic"]);
});

test("a network card that moved to another slot still matches", async () => {
  const moved = machineOf([uuid, board, disk, cards[2]!, cards[1]!, cards[0]!, gpuOf(1), gpuOf(2), gpuOf(3), id]);
  expect((await matchFingerprint(await hostOf(full), moved)).changedTypes).toEqual([]);
});

test("another machine does not match", attack("runs on other hardware", "no component the same"), async () => {
  const other = machineOf([
    ["system-uuid", "uuid-2", 4],
    ["board-serial", "board-2", 3],
    ["disk", "disk-2", 3],
    gpuOf(9),
  ]);
  const match = await matchFingerprint(await hostOf(full), other);
  expect(match).toMatchObject({ isMatch: false, matchedWeight: 0 });
  expect(match.changedTypes).toEqual(["system-uuid", "board-serial", "disk", "nic", "gpu", "machine-id"]);
  observed(`no match: ${match.matchedWeight} of ${match.enrolledWeight}, ${match.threshold} needed`);
});

test(
  "a copied disk in another machine does not match",
  attack("moves the disk into another machine", "same disk and machine id"),
  async () => {
    const copy = machineOf([["system-uuid", "uuid-2", 4], ["board-serial", "board-2", 3], disk, id, gpuOf(9)]);
    const match = await matchFingerprint(await hostOf(full), copy);
    expect(match.isMatch).toBe(false);
    observed(`no match: ${match.matchedWeight} of ${match.enrolledWeight}, ${match.threshold} needed`);
  },
);

test("half of the GPUs, rounded up, stand for the set; fewer do not", async () => {
  const host = await hostOf(machineOf([gpuOf(1), gpuOf(2), gpuOf(3), id]));
  expect(host.components).toHaveLength(4);
  expect(weightOf(host.components)).toBe(7);
  const withGpus = (...digits: number[]) => matchFingerprint(host, machineOf([...digits.map(gpuOf), id]));
  expect((await withGpus(3, 1)).matchedWeight).toBe(7);
  expect((await withGpus(3, 8, 9)).matchedWeight).toBe(1);
});

test("the threshold is 60 percent rounded up, of two types where there are two", async () => {
  const enrolled = async (...facts: [ComponentType, string, number][]) =>
    thresholdFor(await enroll(machineOf(facts), salt));
  expect(await enrolled()).toEqual({ threshold: 0, minTypes: 0 });
  expect(await enrolled(id)).toEqual({ threshold: 1, minTypes: 1 });
  expect(await enrolled(uuid, board)).toEqual({ threshold: 5, minTypes: 2 });
});

test(
  "one heavy type is not enough where two are asked for",
  attack("takes only the GPUs along", "the same GPUs in another machine"),
  async () => {
    const host = await hostOf(machineOf([gpuOf(1), gpuOf(2), id]));
    const match = await matchFingerprint(host, machineOf([gpuOf(1), gpuOf(2)]));
    expect(match.matchedWeight).toBeGreaterThanOrEqual(match.threshold);
    expect(match.isMatch).toBe(false);
    observed(`no match: one type of ${match.matchedWeight}, two types needed`);
  },
);

test("a host with little to show is weak, and a typical server is not", async () => {
  expect(isWeak(await enroll(machineOf([["cpu", "model", 1], id]), salt))).toBe(true);
  expect(isWeak([])).toBe(true);
  expect(isWeak(await enroll(machineOf([uuid, board, id]), salt))).toBe(false);
});

test(
  "a virtual machine with another system UUID is a clone, whatever else matches",
  attack("clones a virtual machine", "all the same but the system UUID"),
  async () => {
    const facts = [board, disk, ...cards, gpuOf(1), id];
    const clone: [ComponentType, string, number] = ["system-uuid", "uuid-2", 4];
    const vm = await hostOf(machineOf([uuid, ...facts], "vm"));
    const physical = await hostOf(machineOf([uuid, ...facts]));
    expect((await matchFingerprint(vm, machineOf([uuid, ...facts], "vm"))).isMatch).toBe(true);
    const match = await matchFingerprint(vm, machineOf([clone, ...facts], "vm"));
    expect(match.isMatch).toBe(false);
    observed(`no match, though ${match.matchedWeight} of ${match.enrolledWeight} match`);
    expect((await matchFingerprint(physical, machineOf([clone, ...facts]))).isMatch).toBe(true);
  },
);

test("a processor enrolled by its model is known again when its number becomes readable", async () => {
  const host = await hostOf(machineOf([["cpu", "model", 1], id]));
  const asRoot = machineOf([["cpu", "ppin", 3], ["cpu", "model", 1], id]);
  expect((await matchFingerprint(host, asRoot)).changedTypes).toEqual([]);
});

test("a type that this user may not read is told apart from one that changed", async () => {
  const host = await hostOf(full);
  const asUser: Machine = { ...machineOf([disk, ...cards]), unreadable: ["system-uuid", "board-serial"] };
  const match = await matchFingerprint(host, asUser);
  expect(match.unreadableTypes).toEqual(["system-uuid", "board-serial"]);
  expect(match.isMatch).toBe(false);
});

test("a salt of another length is a mistake of the caller", async () => {
  await expect(enroll(full, randomBytes(16))).rejects.toThrow(RangeError);
});
