import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import si from "systeminformation";
import { afterEach, beforeEach, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { readMachine } from "./machine.ts";
import type { Machine } from "./machine-fact.ts";
import {
  collectWithSysteminformation,
  crossCheckMachine,
  disagreementsBetween,
  machineFrom,
} from "./machine-systeminformation.ts";

const attack = attacksOn("the host's identity");

const lie = "VICTIM-SERIAL-0001";
const path = process.env.PATH;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-path-"));
  const disk = { blockdevices: [{ name: "vda", type: "disk", size: 1, serial: lie, model: "X", tran: "sata" }] };
  for (const program of ["lsblk", "dmidecode", "smartctl", "nvidia-smi"]) {
    await writeFile(join(directory, program), `#!/bin/sh\ntouch ${directory}/ran\necho '${JSON.stringify(disk)}'\n`);
    await chmod(join(directory, program), 0o755);
  }
  process.env.PATH = `${directory}:${path}`;
});
afterEach(async () => {
  process.env.PATH = path;
  await rm(directory, { recursive: true });
});

const ran = () =>
  stat(join(directory, "ran")).then(
    () => true,
    () => false,
  );

test.runIf(process.platform === "linux")(
  "a program planted in PATH is neither run nor believed",
  attack("lies about the hardware by a program", "lsblk, dmidecode, nvidia-smi earlier in PATH"),
  async () => {
    const collected = await collectWithSysteminformation();
    expect(collected.diskSerials).not.toContain(lie);
    expect(await ran()).toBe(false);
    expect(process.env.PATH).toBe(`${directory}:${path}`);

    // The trap is real: asked directly, it answers with the lie.
    const disks = await si.diskLayout();
    expect(disks.map((disk) => disk.serialNum)).toContain(lie);
    expect(await ran()).toBe(true);
    observed("neither run nor believed");
  },
);

test("this machine's own answers do not contradict the kernel's", async () => {
  expect(await crossCheckMachine(await readMachine())).toEqual([]);
});

test("a cross-check names the types whose stories differ, and no values", () => {
  const told = {
    systemUuid: "4C4C4544-0042-3510-8052-B4C04F564433",
    boardSerial: "",
    cpu: "",
    diskSerials: [lie, "OTHER-DISK-9"],
    macAddresses: ["3c:ec:ef:00:00:01", "3c:ec:ef:00:00:02"],
    isVirtual: false,
  };
  const machine: Machine = {
    ...machineFrom(told),
    facts: [
      { type: "system-uuid", value: "another", weight: 4 },
      { type: "board-serial", value: "unknown to the other side", weight: 3 },
      { type: "disk", value: "thetruedisk", weight: 3 },
      { type: "nic", value: "3cecef000002", weight: 2 },
    ],
  };
  const found = disagreementsBetween(machine, told);
  expect(found.map(({ type }) => type)).toEqual(["system-uuid", "disk"]);
  expect(JSON.stringify(found)).not.toMatch(/victim|thetruedisk|4c4c/i);
});

test("what systeminformation tells becomes facts by the same rules", () => {
  const told = {
    systemUuid: "4C4C4544-0042-3510-8052-B4C04F564433",
    boardSerial: "Default string",
    cpu: "Apple M3",
    diskSerials: ["0ba01c2d3e4f", ""],
    macAddresses: ["02:00:00:00:00:01", "3c:ec:ef:00:00:01"],
    isVirtual: false,
  };
  const { platform, facts } = machineFrom(told);
  expect(platform).toBe("physical");
  expect(facts.map(({ type, weight }) => `${type} ${weight}`)).toEqual(["system-uuid 4", "cpu 1", "disk 3", "nic 2"]);
});
