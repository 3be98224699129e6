import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What may be done below a path, or with the file that it is. */
export type Access = "read" | "use" | "own";

export interface Place {
  readonly path: string;
  /** `read` a tree or a file, `use` a device, `own` a directory: make, change and remove files in it. */
  readonly access: Access;
}

/** What a service host may open, in every sandbox. Sealed files and what it inherits need no place. */
export function placesFor(home: string, hasGpus: boolean): Place[] {
  const sources = fileURLToPath(new URL("../", import.meta.url));
  const read = [
    // The last is where links below /usr go on, such as to a driver that Debian has several of.
    ...["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf", "/etc/alternatives"],
    ...[process.execPath, sources, join(sources, "..", "package.json"), ...packageFolders(sources)],
    // The processor and its memory, but nothing of other processes.
    ...["/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm"],
    ...["/sys/devices/system", "/sys/fs/cgroup"],
  ];
  const use = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
  // Which of them CUDA shows to the process is said by its environment; one that has none opens none.
  const gpus = !hasGpus ? [] : listed("/dev", (name) => name.startsWith("nvidia") || name === "dri");
  if (gpus.length > 0) {
    use.push(...gpus);
    read.push("/proc/devices", "/proc/driver", "/proc/modules", "/sys/bus/pci", "/sys/module/nvidia");
    // Not /sys/devices as a whole: its folder for virtual devices has the serial numbers of the machine.
    read.push(...listed("/sys/devices", (name) => name.startsWith("pci")));
  }
  return [
    ...read.map((path) => ({ path, access: "read" }) as const),
    ...use.map((path) => ({ path, access: "use" }) as const),
    { path: home, access: "own" },
  ];
}

/** Every node_modules that Node would look into, from here upward, by its name and where that leads. */
function packageFolders(from: string): string[] {
  const folders = new Set<string>();
  for (let directory = from; ; directory = dirname(directory)) {
    const folder = join(directory, "node_modules");
    if (existsSync(folder)) folders.add(folder).add(realpathSync(folder));
    if (dirname(directory) === directory) return [...folders];
  }
}

function listed(directory: string, isWanted: (name: string) => boolean): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter(isWanted)
    .map((name) => join(directory, name));
}
