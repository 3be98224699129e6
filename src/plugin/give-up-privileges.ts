import koffi from "koffi";
import { SystemCallError } from "./libc.ts";

const libc = koffi.load(null as unknown as string);
const prctl = libc.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const execv = libc.func("int execv(const char *path, const char **words)");

const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
/** Reading whatever its mode: root must find its own program below another user's directory. */
const CAP_DAC_READ_SEARCH = 2;
const MAX_CAPABILITIES = 64;

/**
 * No program that this thread starts from now on gains rights from set-user-ID bits or file capabilities, and one that
 * root starts has no capability but to read files.
 */
export function giveUpPrivileges(): void {
  for (let capability = 0; capability < MAX_CAPABILITIES; capability++) {
    if (capability === CAP_DAC_READ_SEARCH) continue;
    // EINVAL beyond the last one that the kernel knows, EPERM for users who have none to give up.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) !== 0) break;
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new SystemCallError("prctl(PR_SET_NO_NEW_PRIVS)");
}

/**
 * Runs another program in the place of this one, in the same process: descriptors and restrictions stay, threads end.
 */
export function replaceProgram(path: string, args: readonly string[]): never {
  execv(path, [path, ...args, null]);
  throw new SystemCallError("execve");
}
