import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { giveUpPrivileges, replaceProgram } from "./give-up-privileges.ts";
import { landlockVersion, type Place, restrictFiles } from "./landlock.ts";
import { keepOnExec } from "./libc.ts";
import { setLimit } from "./protect-memory.ts";
import { filterSystemCalls } from "./seccomp.ts";

/**
 * The program that a child runs first. It restricts itself and then becomes the program that it is for, in the same
 * process: some restrictions hold only for the thread that asks and for what it starts, and Node begins with several
 * threads; the program that follows has them in all of its own.
 *
 * It is started with `sandboxArguments`, and imports little, because it is waited for at every start of a service.
 */

/** Far above anything a plugin has to write, far below a disk. */
const MAX_FILE_BYTES = 2 ** 30;

/** What a service host may open. Sealed files and what it inherits need no place. */
function placesFor(home: string): Place[] {
  const sources = fileURLToPath(new URL("../", import.meta.url));
  const read = [
    ...["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf"],
    ...[sources, join(sources, "..", "package.json"), ...packageFolders(sources)],
    // The processor and its memory, but nothing of other processes.
    ...["/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm"],
    ...["/sys/devices/system", "/sys/fs/cgroup"],
  ];
  const use = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
  const gpus = listed("/dev", (name) => name.startsWith("nvidia") || name === "dri");
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

/** Every node_modules that Node would look into, from here upward. */
function packageFolders(from: string): string[] {
  const folders: string[] = [];
  for (let directory = from; ; directory = dirname(directory)) {
    const folder = join(directory, "node_modules");
    if (existsSync(folder)) folders.push(realpathSync(folder));
    if (dirname(directory) === directory) return folders;
  }
}

function listed(directory: string, isWanted: (name: string) => boolean): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter(isWanted)
    .map((name) => join(directory, name));
}

const [descriptors, program, ...words] = process.argv.slice(2);
setLimit("coreBytes", 0);
setLimit("fileBytes", MAX_FILE_BYTES);
giveUpPrivileges();
filterSystemCalls("io_uring");
if (landlockVersion() > 0) restrictFiles(placesFor(process.env.HOME!));
for (let fd = 0; fd < Number(descriptors); fd++) keepOnExec(fd);
replaceProgram(process.execPath, [...process.execArgv, program!, ...words]);
