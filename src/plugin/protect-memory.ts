import koffi from "koffi";
import { SystemCallError } from "./libc.ts";

const libc = koffi.load(null as unknown as string);
const prctl = libc.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const setrlimit = libc.func("int setrlimit(int resource, const uint64_t *limits)");

const PR_SET_DUMPABLE = 4;
const limitNumbers = { fileBytes: 1, coreBytes: 4 } as const;

/**
 * Keeps what is in this process's memory to itself: no core dump is written, and no process of the same user may attach
 * a debugger or read /proc/PID/mem. Root still may. A program that this process starts must do it again.
 */
export function protectMemory(): void {
  setLimit("coreBytes", 0);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) throw new SystemCallError("prctl(PR_SET_DUMPABLE)");
}

/** Sets a resource limit, for good: `coreBytes` of a core dump, or `fileBytes` that one file may grow to. */
export function setLimit(resource: keyof typeof limitNumbers, value: number): void {
  const limits = new BigUint64Array([BigInt(value), BigInt(value)]);
  if (setrlimit(limitNumbers[resource], limits) !== 0) throw new SystemCallError(`setrlimit(${resource})`);
}
