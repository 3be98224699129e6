import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { identifierFrom, macAddressFrom } from "./identifier.ts";
import { readMachine } from "./machine.ts";
import type { ComponentType } from "./schema.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "signet-machine-"));
});
afterEach(() => rm(root, { recursive: true }));

/** Files below the made-up root; a value starting with "->" is a link to another path below it. */
async function useFiles(...sets: Record<string, string>[]): Promise<void> {
  for (const [path, content] of Object.entries(Object.assign({}, ...sets) as Record<string, string>)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    if (content.startsWith("->")) await symlink(join(root, content.slice(2)), join(root, path));
    else await writeFile(join(root, path), `${content}\n`);
  }
}

async function valuesOf(type: ComponentType): Promise<string[]> {
  return (await readMachine({ root })).facts.filter((fact) => fact.type === type).map((fact) => fact.value);
}

const mountedFrom = (number: string, source: string) => ({
  "proc/self/mountinfo": `22 28 0:21 / /proc rw - proc proc rw\n28 1 ${number} / / rw,relatime shared:1 - ext4 ${source} rw`,
});

const cpuinfo = (flags = "fpu vme") =>
  [0, 1]
    .map(
      (id) =>
        `processor\t: ${id}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nstepping\t: 8\nphysical id\t: ${id}\nflags\t\t: ${flags}\n`,
    )
    .join("\n");

const pci = "sys/devices/pci0000:00";
const card = (name: string, slot: string, address: string, assigned = "0") => ({
  [`${pci}/${slot}/vendor`]: "0x8086",
  [`sys/class/net/${name}/address`]: address,
  [`sys/class/net/${name}/addr_assign_type`]: assigned,
  [`sys/class/net/${name}/device`]: `->${pci}/${slot}`,
});

const gpu = (slot: string, uuid: string) => ({
  [`proc/driver/nvidia/gpus/${slot}/information`]: `Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 0\nGPU UUID: \t ${uuid}\nVideo BIOS: \t 96.00.61.00.01`,
});
const uuidOf = (digit: number) => `GPU-${digit}f1c2d3e-4b5a-6978-8695-a4b3c2d1e0f${digit}`;

const nvmeRoot = {
  ...mountedFrom("259:2", "/dev/nvme0n1p2"),
  [`${pci}/nvme/nvme0/serial`]: "S64ANS0T123456",
  [`${pci}/nvme/nvme0/nvme0n1/removable`]: "0",
  [`${pci}/nvme/nvme0/nvme0n1/wwid`]: "eui.0025384331b0c1d2",
  [`${pci}/nvme/nvme0/nvme0n1/device`]: `->${pci}/nvme/nvme0`,
  [`${pci}/nvme/nvme0/nvme0n1/nvme0n1p2/partition`]: "2",
  "sys/dev/block/259:2": `->${pci}/nvme/nvme0/nvme0n1/nvme0n1p2`,
};

const server = {
  "sys/class/dmi/id/product_uuid": "4C4C4544-0042-3510-8052-B4C04F564433",
  "sys/class/dmi/id/board_serial": ".5B5RVD3.CNFCP0012300AB.",
  "sys/class/dmi/id/chassis_serial": "5B5RVD3",
  "sys/class/dmi/id/sys_vendor": "Dell Inc.",
  "sys/devices/system/cpu/cpu0/topology/ppin": "0x27a4f1c9e30b5d68",
  "proc/cpuinfo": cpuinfo(),
  "etc/machine-id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
  "etc/os-release": 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
  "proc/sys/kernel/osrelease": "6.1.0-18-amd64",
};

describe("a bare-metal server", () => {
  beforeEach(() =>
    useFiles(
      server,
      nvmeRoot,
      card("eno2", "0000:00:1f.7", "3c:ec:ef:00:00:02"),
      card("eno1", "0000:00:1f.6", "3C:EC:EF:00:00:01"),
      gpu("0000:17:00.0", uuidOf(1)),
      gpu("0000:65:00.0", uuidOf(2)),
    ),
  );

  test("shows every type, normalized and weighed", async () => {
    const machine = await readMachine({ root });
    expect(machine.facts.map(({ type, value, weight }) => [type, value, weight])).toEqual([
      ["system-uuid", "4c4c4544004235108052b4c04f564433", 4],
      ["board-serial", "5b5rvd3cnfcp0012300ab", 3],
      ["chassis-serial", "5b5rvd3", 1],
      ["cpu", "27a4f1c9e30b5d68", 3],
      ["cpu", "vendoridgenuineintelcpufamily6model143stepping8packages2", 1],
      ["disk", "s64ans0t123456", 3],
      ["nic", "3cecef000001", 2],
      ["nic", "3cecef000002", 2],
      ["gpu", uuidOf(1).toLowerCase().replaceAll("-", ""), 3],
      ["gpu", uuidOf(2).toLowerCase().replaceAll("-", ""), 3],
      ["machine-id", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", 1],
    ]);
    expect(machine.platform).toBe("physical");
    expect(machine.os).toBe("Debian GNU/Linux 12 (bookworm), kernel 6.1.0-18-amd64");
  });

  test("is read in any order of time alike", async () => {
    expect(await readMachine({ root })).toEqual(await readMachine({ root }));
  });
});

describe("the root disk", () => {
  test("is found under LVM on software RAID", async () => {
    const disk = (name: string, serial: string) => ({
      [`${pci}/ata/${name}/removable`]: "0",
      [`${pci}/ata/${name}/device/wwid`]: `t10.ATA ${serial}`,
      [`${pci}/ata/${name}/${name}1/partition`]: "1",
    });
    await useFiles(mountedFrom("253:0", "/dev/mapper/vg-root"), disk("sda", "SERIAL-A1"), disk("sdb", "SERIAL-B2"), {
      "sys/dev/block/253:0": "->sys/devices/virtual/block/dm-0",
      "sys/devices/virtual/block/dm-0/slaves/md0": "->sys/devices/virtual/block/md0",
      "sys/devices/virtual/block/md0/slaves/sda1": `->${pci}/ata/sda/sda1`,
      "sys/devices/virtual/block/md0/slaves/sdb1": `->${pci}/ata/sdb/sdb1`,
    });
    expect(await valuesOf("disk")).toEqual(["t10ataseriala1", "t10ataserialb2"]);
  });

  test("is found by its name where the file system hides the number", async () => {
    await useFiles(nvmeRoot, mountedFrom("0:34", "/dev/nvme0n1p2"), {
      "sys/class/block/nvme0n1p2": `->${pci}/nvme/nvme0/nvme0n1/nvme0n1p2`,
    });
    expect(await valuesOf("disk")).toEqual(["s64ans0t123456"]);
  });

  test("does not count when it is a stick or shared by every virtual machine", async () => {
    await useFiles(nvmeRoot, { [`${pci}/nvme/nvme0/nvme0n1/removable`]: "1" });
    expect(await valuesOf("disk")).toEqual([]);
    await rm(root, { recursive: true });
    await useFiles(mountedFrom("254:0", "/dev/vda"), {
      "sys/dev/block/254:0": "->sys/devices/virtio/block/vda",
      "sys/devices/virtio/block/vda/serial": "overlayblk",
    });
    expect(await valuesOf("disk")).toEqual([]);
  });

  test("survives links that go round in circles", async () => {
    await useFiles(mountedFrom("253:0", "/dev/dm-0"), {
      "sys/dev/block/253:0": "->sys/devices/virtual/block/dm-0",
      "sys/devices/virtual/block/dm-0/slaves/dm-0": "->sys/devices/virtual/block/dm-0",
    });
    expect(await valuesOf("disk")).toEqual([]);
  });
});

describe("network cards", () => {
  test("that software made up do not count", async () => {
    await useFiles(
      card("eth0", "0000:00:02.0", "02:fc:00:00:00:01"),
      card("ens1", "0000:00:03.0", "00:50:56:12:34:56"),
      card("eth9", "0000:00:04.0", "3c:ec:ef:00:00:09", "3"),
      card("usb0", "usb1/1-1", "3c:ec:ef:00:00:0a"),
      card("ib0", "0000:00:05.0", "00:00:00:00:00:00"),
      { "sys/class/net/docker0/address": "3c:ec:ef:00:00:0b", "sys/class/net/docker0/addr_assign_type": "0" },
    );
    expect(await valuesOf("nic")).toEqual([]);
  });

  test("keep their own address in a bond, and virtual functions of a card are not cards", async () => {
    await useFiles(
      card("eno1", "0000:00:01.0", "3c:ec:ef:00:00:01", "3"),
      card("eno2", "0000:00:02.0", "3c:ec:ef:00:00:01", "3"),
      card("vf0", "0000:00:03.0", "3c:ec:ef:00:00:03"),
      {
        "sys/class/net/eno1/bonding_slave/perm_hwaddr": "3c:ec:ef:00:00:01",
        "sys/class/net/eno2/bonding_slave/perm_hwaddr": "3c:ec:ef:00:00:02",
        [`${pci}/0000:00:03.0/physfn`]: `->${pci}/0000:00:01.0`,
      },
    );
    expect(await valuesOf("nic")).toEqual(["3cecef000001", "3cecef000002"]);
  });
});

describe("GPUs", () => {
  test("count by the whole GPU where it is cut into MIG partitions", async () => {
    await useFiles(gpu("0000:17:00.0", uuidOf(1)), {
      "proc/driver/nvidia/capabilities/gpu0/mig/gi1/access": "DeviceFileMinor: 3\nDeviceFileMode: 292",
    });
    expect(await valuesOf("gpu")).toHaveLength(1);
  });

  test("do not count before the driver knows them", async () => {
    await useFiles(gpu("0000:17:00.0", "GPU-????????-????-????-????-????????????"));
    expect(await valuesOf("gpu")).toEqual([]);
  });

  test("of AMD count by their unique id", async () => {
    await useFiles({
      "sys/class/drm/card0/device/unique_id": "9a4b7c81d2e3f605",
      "sys/class/drm/card0-DP-1/status": "x",
    });
    expect(await valuesOf("gpu")).toEqual(["9a4b7c81d2e3f605"]);
  });
});

describe("the platform", () => {
  const platform = async () => (await readMachine({ root })).platform;

  test("is vm with a hypervisor's flag or name", async () => {
    await useFiles({ "proc/cpuinfo": cpuinfo("fpu hypervisor") });
    expect(await platform()).toBe("vm");
    await rm(root, { recursive: true });
    await useFiles({ "sys/class/dmi/id/product_name": "Google Compute Engine" });
    expect(await platform()).toBe("vm");
  });

  test("is container with a container's marks, even on a virtual machine", async () => {
    await useFiles({ ".dockerenv": "", "proc/cpuinfo": cpuinfo("fpu hypervisor") });
    expect(await platform()).toBe("container");
    await rm(root, { recursive: true });
    await useFiles({ "proc/1/cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-1.scope" });
    expect(await platform()).toBe("container");
  });
});

test("a machine that shows nothing has no facts, and that is no error", async () => {
  const machine = await readMachine({ root });
  expect(machine.facts).toEqual([]);
  expect(machine.unreadable).toEqual([]);
});

test("numbers that many machines share are no facts", async () => {
  await useFiles({
    "sys/class/dmi/id/product_uuid": "03000200-0400-0500-0006-000700080009",
    "sys/class/dmi/id/board_serial": "To be filled by O.E.M.",
    "sys/class/dmi/id/chassis_serial": "Default string",
    "sys/devices/system/cpu/cpu0/topology/ppin": "0x0",
    "etc/machine-id": "uninitialized",
  });
  expect((await readMachine({ root })).facts).toEqual([]);
});

test("garbage where text is expected does no harm", async () => {
  await useFiles({
    "proc/cpuinfo": "\u0000:::\n::\n",
    "proc/self/mountinfo": "a b\n\n1 2 3 4 / 5",
    "etc/machine-id": "A".repeat(100_000),
    "sys/class/dmi/id/product_uuid": "x".repeat(100_000),
    "proc/driver/nvidia/gpus/0/information": "GPU UUID:",
    "sys/class/net/eth0": "a file where a directory should be",
  });
  expect((await readMachine({ root })).facts).toEqual([]);
});

test("what this user may not read is named", async () => {
  await useFiles(server);
  await chmod(join(root, "sys/class/dmi/id/product_uuid"), 0);
  await chmod(root, 0o755);
  const machine = await asOrdinaryUser(() => readMachine({ root }));
  expect(machine.unreadable).toEqual(["system-uuid"]);
});

/** Root may read everything; this steps down to "nobody" for the length of a call. */
async function asOrdinaryUser<T>(act: () => Promise<T>): Promise<T> {
  if (process.geteuid!() !== 0) return await act();
  process.seteuid!(65534);
  try {
    return await act();
  } finally {
    process.seteuid!(0);
  }
}

test("identifiers are compared without case, separators and compatibility forms", () => {
  expect(identifierFrom(" ABC-123:４５ ")).toBe("abc12345");
  for (const shared of ["0", "None", "0000-0000", "ffffffff", "1212", "System Serial Number", "", undefined]) {
    expect(identifierFrom(shared)).toBeUndefined();
  }
});

test("only a network card's own address counts", () => {
  expect(macAddressFrom("3C-EC-EF-00-00-01")).toBe("3cecef000001");
  for (const made of ["02:00:00:00:00:01", "01:00:5e:00:00:01", "00:0c:29:12:34:56", "3c:ec:ef", "00:00:00:00:00:00"]) {
    expect(macAddressFrom(made)).toBeUndefined();
  }
});
