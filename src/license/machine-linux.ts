import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { identifierFrom, macAddressFrom } from "./identifier.ts";
import { factsFrom, type Machine, type MachineFact } from "./machine-fact.ts";
import type { ComponentType, Platform } from "./schema.ts";

/**
 * What identifies a Linux machine, read from /sys, /proc and /etc without running a program: a program found on
 * PATH can be replaced by anybody, the kernel's files cannot. `root` is another file system root, for tests and
 * for a host's file systems mounted into a container.
 */
export async function readLinuxMachine(root: string, askNvidia?: AskNvidia): Promise<Machine> {
  const source = new Source(root);
  const facts = await Promise.all([
    dmi(source, "system-uuid", "product_uuid", 4),
    dmi(source, "board-serial", "board_serial", 3),
    dmi(source, "chassis-serial", "chassis_serial", 1),
    cpu(source),
    rootDisks(source),
    networkCards(source),
    gpus(source, askNvidia),
    machineId(source),
  ]);
  return {
    platform: await platformOf(source),
    facts: facts.flat(),
    unreadable: [...source.unreadable].sort(),
    os: await operatingSystem(source),
    arch: process.arch,
  };
}

/** Asks NVIDIA's driver for the UUIDs of its whole GPUs, which the kernel's files do not show in every container. */
export type AskNvidia = () => Promise<{ readonly uuids: readonly string[]; readonly isForbidden: boolean }>;

/** Reads below one root. Files that are not there are normal; files that may not be read are remembered. */
class Source {
  readonly unreadable = new Set<ComponentType>();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async text(path: string, type?: ComponentType): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#root, path), "utf8")).trim();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (type !== undefined && (code === "EACCES" || code === "EPERM")) this.unreadable.add(type);
      return undefined;
    }
  }

  async list(path: string): Promise<string[]> {
    return (await readdir(join(this.#root, path)).catch(() => [])).sort();
  }

  /** Where a path leads, seen from the root; undefined if it leads nowhere. */
  async resolve(path: string): Promise<string | undefined> {
    try {
      const base = await realpath(this.#root);
      const target = await realpath(join(base, path));
      return base === "/" ? target : target.slice(base.length);
    } catch {
      return undefined;
    }
  }

  async has(path: string): Promise<boolean> {
    return (await this.resolve(path)) !== undefined;
  }
}

async function dmi(source: Source, type: ComponentType, file: string, weight: number): Promise<MachineFact[]> {
  return factsFrom(type, weight, [await source.text(`sys/class/dmi/id/${file}`, type)]);
}

/** The processor's own number where it has one (PPIN, readable by root), then the model, which thousands share. */
async function cpu(source: Source): Promise<MachineFact[]> {
  const ppin = await source.text("sys/devices/system/cpu/cpu0/topology/ppin", "cpu");
  const lines = ((await source.text("proc/cpuinfo")) ?? "").split("\n");
  const valuesOf = (key: string) =>
    lines.filter((line) => line.split(":")[0]?.trim() === key).map((line) => line.slice(line.indexOf(":") + 1).trim());
  const keys = [
    "vendor_id",
    "cpu family",
    "model",
    "stepping",
    "CPU implementer",
    "CPU part",
    "CPU variant",
    "CPU revision",
  ];
  const model = keys.filter((key) => valuesOf(key).length > 0).map((key) => `${key} ${valuesOf(key)[0]}`);
  const packages = new Set(valuesOf("physical id")).size || 1;
  return [
    ...factsFrom("cpu", 3, [ppin?.replace(/^0x/i, "")]),
    ...factsFrom("cpu", 1, [model.length === 0 ? undefined : `${model.join(", ")}, packages ${packages}`]),
  ];
}

/** The disks under the root file system, through partitions, device mapper and software RAID. */
async function rootDisks(source: Source): Promise<MachineFact[]> {
  const values: (string | undefined)[] = [];
  for (const disk of await wholeDisks(source, await rootDevice(source))) {
    const where = (await source.resolve(disk)) ?? "";
    const removable = (await source.text(`${disk}/removable`)) === "1" || where.includes("/usb");
    if (removable || /^(loop|ram|zram)/.test(basename(where))) continue;
    const serials = ["device/serial", "serial", "wwid", "device/wwid"].map((file) =>
      source.text(`${disk}/${file}`, "disk"),
    );
    values.push((await Promise.all(serials)).find((serial) => identifierFrom(serial) !== undefined));
  }
  return factsFrom("disk", 3, values);
}

/** The block device mounted at /, as a path below /sys. */
async function rootDevice(source: Source): Promise<string | undefined> {
  const mounts = ((await source.text("proc/self/mountinfo")) ?? "").split("\n").map((line) => line.split(" "));
  const mount = mounts.findLast((fields) => fields[4] === "/");
  if (mount === undefined) return undefined;
  const byNumber = await source.resolve(`sys/dev/block/${mount[2]}`);
  if (byNumber !== undefined) return byNumber;
  // btrfs shows an anonymous number; its source names the device.
  const device = mount[mount.indexOf("-") + 2];
  if (device === undefined || !device.startsWith("/dev/")) return undefined;
  const target = (await source.resolve(device)) ?? device;
  return source.resolve(`sys/class/block/${basename(target)}`);
}

async function wholeDisks(source: Source, device: string | undefined, depth = 0): Promise<string[]> {
  // Stacks of mapper on RAID on partition are three deep; eight ends any loop.
  if (device === undefined || depth > 8) return [];
  if (await source.has(`${device}/partition`)) return wholeDisks(source, dirname(device), depth + 1);
  const slaves = await source.list(`${device}/slaves`);
  if (slaves.length === 0) return [device];
  const below = slaves.map(async (slave) =>
    wholeDisks(source, await source.resolve(`${device}/slaves/${slave}`), depth + 1),
  );
  return [...new Set((await Promise.all(below)).flat())];
}

/** Built-in network cards, in the order of their slots. Made-up addresses say nothing about the machine. */
async function networkCards(source: Source): Promise<MachineFact[]> {
  const cards: { slot: string; address: string }[] = [];
  for (const name of await source.list("sys/class/net")) {
    const card = `sys/class/net/${name}`;
    const slot = await source.resolve(`${card}/device`);
    if (slot === undefined || slot.includes("/usb") || (await source.has(`${card}/device/physfn`))) continue;
    // In a bond all cards show the same address; the bond remembers their own.
    const bonded = await source.text(`${card}/bonding_slave/perm_hwaddr`);
    const assigned = (await source.text(`${card}/addr_assign_type`)) === "0";
    const address = bonded ?? (assigned ? await source.text(`${card}/address`) : undefined);
    const value = macAddressFrom(address);
    if (value !== undefined) cards.push({ slot, address: value });
  }
  cards.sort((a, b) => (a.slot < b.slot ? -1 : 1));
  return factsFrom(
    "nic",
    2,
    cards.map((card) => card.address),
  );
}

/** GPUs by the number their maker gave them. A MIG partition has no lasting one; its GPU has. */
async function gpus(source: Source, askNvidia?: AskNvidia): Promise<MachineFact[]> {
  const values: (string | undefined)[] = [];
  for (const slot of await source.list("proc/driver/nvidia/gpus")) {
    const information = (await source.text(`proc/driver/nvidia/gpus/${slot}/information`, "gpu")) ?? "";
    // Question marks until the driver has first opened the GPU.
    values.push(nvidiaUuid(/^GPU UUID:\s*(\S+)\s*$/im.exec(information)?.[1]));
  }
  if (askNvidia !== undefined && !values.some((value) => value !== undefined)) {
    const { uuids, isForbidden } = await askNvidia();
    values.push(...uuids.map(nvidiaUuid));
    if (isForbidden) source.unreadable.add("gpu");
  }
  for (const card of (await source.list("sys/class/drm")).filter((name) => /^card[0-9]+$/.test(name))) {
    values.push(await source.text(`sys/class/drm/${card}/device/unique_id`, "gpu"));
  }
  return factsFrom("gpu", 3, values).sort((a, b) => (a.value < b.value ? -1 : 1));
}

/** Only a whole GPU's: the UUID of a MIG partition changes whenever the GPU is cut anew. */
function nvidiaUuid(text: string | undefined): string | undefined {
  return text !== undefined && /^GPU-[0-9a-f-]{36}$/i.test(text) ? text : undefined;
}

async function machineId(source: Source): Promise<MachineFact[]> {
  const id = await source.text("etc/machine-id", "machine-id");
  return factsFrom("machine-id", 1, [id !== undefined && /^[0-9a-f]{32}$/.test(id) ? id : undefined]);
}

const hypervisorNames =
  /\b(kvm|qemu|vmware|virtualbox|virtual machine|bochs|xen|parallels|hvm domu|openstack|compute engine)\b/i;

async function platformOf(source: Source): Promise<Platform> {
  const marks = [".dockerenv", "run/.containerenv", "run/systemd/container"];
  if ((await Promise.all(marks.map((mark) => source.has(mark)))).includes(true)) return "container";
  const groups = (await source.text("proc/1/cgroup")) ?? "";
  if (/docker|kubepods|containerd|libpod|\/lxc/.test(groups)) return "container";
  const flags = /^(?:flags|Features)\s*:.*$/m.exec((await source.text("proc/cpuinfo")) ?? "")?.[0] ?? "";
  if (/\bhypervisor\b/.test(flags)) return "vm";
  const names = ["sys_vendor", "product_name", "bios_vendor"].map((file) => source.text(`sys/class/dmi/id/${file}`));
  return (await Promise.all(names)).some((name) => hypervisorNames.test(name ?? "")) ? "vm" : "physical";
}

async function operatingSystem(source: Source): Promise<string> {
  const release = (await source.text("etc/os-release")) ?? "";
  const name = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? "Linux";
  const kernel = (await source.text("proc/sys/kernel/osrelease")) ?? "unknown";
  return `${name}, kernel ${kernel}`.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 200);
}
