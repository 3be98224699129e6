import { closeSync, writeSync } from "node:fs";
import koffi from "koffi";
import { addSeals, createMemoryFile, isSealed, resizeFile, SystemCallError } from "./libc.ts";

/** What this kernel really does, tried rather than asked, for `signet doctor`. */

const libc = koffi.load(null as unknown as string);
const mmapCall = libc.func("intptr_t mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const munmapCall = libc.func("int munmap(intptr_t addr, size_t length)");
const adjtimexCall = libc.func("int adjtimex(void *timex)");

const PAGE_BYTES = 4096;
const PROT_READ_EXEC = 0x1 | 0x4;
const MAP_PRIVATE = 0x2;

/**
 * Goes through all that loading a plugin needs of memory files: make one, fill it, seal it, be refused a write, and
 * map it as code. Null where that works, else what did not.
 */
export function probeSealedMemory(): string | null {
  let fd: number | undefined;
  try {
    fd = createMemoryFile("signet-doctor");
    resizeFile(fd, PAGE_BYTES);
    writeSync(fd, Buffer.alloc(PAGE_BYTES, 0x90), 0, PAGE_BYTES, 0);
    addSeals(fd);
    if (!isSealed(fd)) return "the kernel did not keep the seals";
    if (canWrite(fd)) return "a sealed file could still be written";
    const address = mmapCall(null, PAGE_BYTES, PROT_READ_EXEC, MAP_PRIVATE, fd, 0);
    if (BigInt(address) === -1n) return new SystemCallError("mapping a sealed file as code").message;
    munmapCall(address, PAGE_BYTES);
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function canWrite(fd: number): boolean {
  try {
    return writeSync(fd, Buffer.alloc(1), 0, 1, 0) > 0;
  } catch {
    return false;
  }
}

const TIMEX_BYTES = 256; // struct timex has 208
const STATUS_OFFSET = 40;
const MAX_ERROR_OFFSET = 24;
const STA_UNSYNC = 0x40;

export interface KernelClock {
  /** Some program keeps the clock right by others', says the kernel. */
  readonly isSynchronized: boolean;
  /** How wrong the clock may be, by that program's own estimate, ms. */
  readonly maxErrorMs: number;
}

/** What the kernel knows of its clock, without changing it; null where it may not be asked. */
export function readKernelClock(): KernelClock | null {
  const timex = Buffer.alloc(TIMEX_BYTES); // modes 0: only read
  if (adjtimexCall(timex) < 0) return null;
  const isSynchronized = (timex.readInt32LE(STATUS_OFFSET) & STA_UNSYNC) === 0;
  return { isSynchronized, maxErrorMs: Number(timex.readBigInt64LE(MAX_ERROR_OFFSET)) / 1000 };
}
