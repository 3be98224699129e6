import { constants as osConstants } from "node:os";
import koffi from "koffi";

/**
 * The few C library calls that Node does not offer. Linux on x86-64 and arm64; the constants below are
 * the same on both.
 */

// Plugins run on koffi's own stack, 2 MiB unless said otherwise; a thread of a C program would have 8.
koffi.config({ sync_stack_size: 8 << 20, async_stack_size: 1 << 20 });

const libc = koffi.load(null as unknown as string);
const memfdCreate = libc.func("int memfd_create(const char *name, unsigned int flags)");
const fcntlInt = libc.func("int fcntl(int fd, int cmd, ...)");
const flockCall = libc.func("int flock(int fd, int operation)");
const mmapCall = libc.func("intptr_t mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const ftruncateCall = libc.func("int ftruncate(int fd, int64_t length)");
const fallocateCall = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const memcpyCall = libc.func("void *memcpy(void *to, const void *from, size_t bytes)");
const renameat2Call = libc.func(
  "int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)",
);
const statxCall = libc.func("int statx(int directory, const void *path, int flags, unsigned int mask, void *facts)");
const prctlCall = libc.func("int prctl(int option, unsigned long value)");
const exitCall = libc.func("void _exit(int status)");
const syscall = libc.func("long syscall(long number, ...)");
// The same with the types of this one call: a variadic call costs more, and this is made for every job.
const futexCall = libc.func(
  "long syscall(long number, intptr_t word, int operation, uint32_t value, void *timeout, void *word2, uint32_t value3)",
);
const pipe2Call = libc.func("int pipe2(_Out_ int *ends, int flags)");
const writeCall = libc.func("intptr_t write(int fd, const void *bytes, size_t count)");
const pollCall = libc.func("int poll(void *descriptors, unsigned long count, int timeout_ms)");
const getsockoptCall = libc.func("int getsockopt(int fd, int level, int name, void *value, void *bytes)");

const MFD_CLOEXEC = 0x01;
const MFD_ALLOW_SEALING = 0x02;
const MFD_NOEXEC_SEAL = 0x08; // Linux 6.3 and newer
const F_SETFD = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE: nothing about the file can change any more. */
const ALL_SEALS = 0x0f;
const F_SEAL_SEAL = 0x01;
const F_SEAL_SHRINK = 0x02;
const F_SEAL_GROW = 0x04;
const SYS_CLOSE_RANGE = 436; // Linux 5.9; called by number because glibc has its name only from 2.34
const CLOSE_RANGE_CLOEXEC = 0x04; // Linux 5.11
const SYS_FUTEX = process.arch === "x64" ? 202 : 98;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const MAP_PRIVATE = 2;
const PR_SET_PDEATHSIG = 1;
const POLLHUP = 0x10;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const LOCK_EX = 2;
const LOCK_NB = 4;
/** The working directory, for calls that take a directory and a path. */
export const AT_FDCWD = -100;
/** The descriptor itself, with an empty path. */
export const AT_EMPTY_PATH = 0x1000;
const STATX_MTIME_CTIME_INO_SIZE = 0x3c0;
const RENAME_EXCHANGE = 2;
const O_CLOEXEC = 0o2000000;

function errnoName(): string {
  const number = koffi.errno();
  for (const [name, value] of Object.entries(osConstants.errno)) if (value === number) return name;
  return `errno ${number}`;
}

/** An OS call that failed. `errno` is the symbolic name, for example "EPERM". */
export class SystemCallError extends Error {
  readonly errno: string;
  constructor(call: string) {
    const errno = errnoName();
    super(`${call} failed with ${errno}`);
    this.errno = errno;
  }
}

/**
 * A new anonymous file in memory. It can never be run as a program, which is also all that a host hardened with
 * vm.memfd_noexec=2 allows; loading a library from it only maps it, and needs no more.
 */
export function createMemoryFile(name: string): number {
  let fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errnoName() === "EINVAL") fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new SystemCallError("memfd_create");
  return fd;
}

export function resizeFile(fd: number, bytes: number): void {
  if (ftruncateCall(fd, bytes) !== 0) throw new SystemCallError("ftruncate");
}

/** Makes a memory file immutable for every process, this one included. */
export function addSeals(fd: number): void {
  if (fcntlInt(fd, F_ADD_SEALS, "int", ALL_SEALS) !== 0) throw new SystemCallError("fcntl(F_ADD_SEALS)");
}

/**
 * Fixes the size of a memory file; its bytes can still change. Whoever else has it could otherwise cut it off, and
 * touching what is mapped beyond the end of a file ends a process.
 */
export function sealSize(fd: number): void {
  if (fcntlInt(fd, F_ADD_SEALS, "int", F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) !== 0) {
    throw new SystemCallError("fcntl(F_ADD_SEALS)");
  }
}

/** Gives memory of a memory file back; it stays as large and mapped, and reads as zeros there. */
export function emptyMemoryFile(fd: number, offset: number, bytes: number): void {
  if (fallocateCall(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) !== 0) {
    throw new SystemCallError("fallocate");
  }
}

/** True if the file is a memory file with every seal set. */
export function isSealed(fd: number): boolean {
  const seals = fcntlInt(fd, F_GET_SEALS, "int", 0);
  return seals >= 0 && (seals & ALL_SEALS) === ALL_SEALS;
}

/** Takes an exclusive advisory lock without waiting; false if another open file holds it. Freed when the fd closes. */
export function lockExclusively(fd: number): boolean {
  return flockCall(fd, LOCK_EX | LOCK_NB) === 0;
}

/** Swaps two names in one step, so that neither is ever missing; false where the file system cannot. */
export function exchangeNames(a: string, b: string): boolean {
  return renameat2Call(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) === 0;
}

/** A struct statx of 256 bytes, the same on all architectures. */
export type FileFacts = Int32Array;

/**
 * What the kernel knows of a file by its name; false where the name leads to nothing. Node's statSync makes an object
 * of 18 numbers first, which takes longer than asking.
 * @param path ended by a NUL; relative to the directory
 */
export function lookAtFile(directoryFd: number, path: Uint8Array, flags: number, facts: FileFacts): boolean {
  return statxCall(directoryFd, path, flags, STATX_MTIME_CTIME_INO_SIZE, facts) === 0;
}

/** Maps a file into memory for the rest of the process's life and returns its address. */
export function mapFile(fd: number, bytes: number, access: "read" | "shared"): bigint {
  const address =
    access === "read"
      ? mmapCall(null, bytes, PROT_READ, MAP_PRIVATE, fd, 0)
      : mmapCall(null, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (BigInt(address) === -1n) throw new SystemCallError("mmap");
  return BigInt(address);
}

/**
 * A window on mapped memory. Only for memory that stays mapped for the process's life, because nothing
 * ties the window to it.
 */
export function viewMemory(address: bigint, bytes: number): Uint8Array {
  return new Uint8Array(koffi.view(address, bytes));
}

/** Copies between addresses that are both known to be mapped; a wrong one ends the process. */
export function copyMemory(to: bigint, from: bigint, bytes: number): void {
  memcpyCall(to, from, bytes);
}

/**
 * Lets this thread sleep while a word of shared memory has that value, until another thread or process wakes it. It may
 * also return for no reason.
 */
export function waitForWord(address: bigint, value: number): void {
  futexCall(SYS_FUTEX, address, FUTEX_WAIT, value >>> 0, null, null, 0);
}

/** Wakes so many of those that wait for the word. */
export function wakeSome(address: bigint, count: number): void {
  futexCall(SYS_FUTEX, address, FUTEX_WAKE, count, null, null, 0);
}

/** A pipe of which no end gets into a program that this process starts, unless it is passed on by name. */
export function createPipe(): { readEnd: number; writeEnd: number } {
  const ends = [0, 0];
  if (pipe2Call(ends, O_CLOEXEC) !== 0) throw new SystemCallError("pipe2");
  return { readEnd: ends[0]!, writeEnd: ends[1]! };
}

const oneByte = new Uint8Array(1);

/** Writes one byte to a pipe, whose reader takes it as a sign. */
export function knock(fd: number): void {
  writeCall(fd, oneByte, 1);
}

/**
 * No descriptor but the standard streams gets into a program that this process starts, unless it is passed on by
 * name. Node opens its own that way; those that this process was started with are not. On kernels without the call,
 * older than 5.11, nothing happens.
 */
export function closeOthersOnExec(): void {
  syscall(SYS_CLOSE_RANGE, "unsigned int", 3, "unsigned int", 0xffff_ffff, "int", CLOSE_RANGE_CLOEXEC);
}

/** The descriptor gets into a program that this process becomes. Node bars all that it was started with from that. */
export function keepOnExec(fd: number): void {
  if (fcntlInt(fd, F_SETFD, "int", 0) !== 0) throw new SystemCallError("fcntl(F_SETFD)");
}

/** From now on the kernel ends this process when the thread that started it does; nothing, where that was before. */
export function askForDeathWithParent(): void {
  if (prctlCall(PR_SET_PDEATHSIG, osConstants.signals.SIGKILL) !== 0) throw new SystemCallError("prctl");
}

/** Whether nobody has the other end of a socket or pipe any more. */
export function hasHungUp(fd: number): boolean {
  const descriptor = new DataView(new ArrayBuffer(8)); // struct pollfd
  descriptor.setInt32(0, fd, true);
  if (pollCall(descriptor, 1, 0) < 0) throw new SystemCallError("poll");
  return (descriptor.getInt16(6, true) & POLLHUP) !== 0;
}

/** The process that made the pair that a socket is of; 0 where that is in a name space from which this one sees nothing. */
export function peerPid(fd: number): number {
  const credentials = new Int32Array(3); // struct ucred
  const bytes = new Uint32Array([credentials.byteLength]);
  if (getsockoptCall(fd, SOL_SOCKET, SO_PEERCRED, credentials, bytes) !== 0) throw new SystemCallError("getsockopt");
  return credentials[0]!;
}

/** Ends the process at once. process.exit() waits for worker threads, for ever if one is stuck in native code. */
export function exitNow(status: number): never {
  exitCall(status);
  throw new Error("unreachable");
}
