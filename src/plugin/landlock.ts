import { closeSync, constants, openSync } from "node:fs";
import koffi from "koffi";
import { SystemCallError } from "./libc.ts";
import type { Access, Place } from "./places.ts";

/** Landlock: what a process may open is a list of places. Linux 5.13 and newer, where it is not turned off. */

// The same numbers on all processors.
const SYS_CREATE_RULESET = 444;
const SYS_ADD_RULE = 445;
const SYS_RESTRICT_SELF = 446;
const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const O_PATH = 0x20_0000;

// Rights of include/uapi/linux/landlock.h by their bit. EXECUTE, bit 0, is left to the filter of system calls.
const WRITE_FILE = 1n << 1n;
const READ_FILE = 1n << 2n;
const READ_DIR = 1n << 3n;
const changeDirectories = 0b1_1111_1111n << 4n; // REMOVE_DIR to MAKE_SYM
const REFER = 1n << 13n; // version 2
const TRUNCATE = 1n << 14n; // version 3
const IOCTL_DEV = 1n << 15n; // version 5

const syscall = koffi.load(null as unknown as string).func("long syscall(long number, ...)");

/** The version of Landlock that this kernel offers; 0 for none. */
export function landlockVersion(): number {
  const words = ["void *", null, "size_t", 0, "unsigned int", CREATE_RULESET_VERSION];
  return Math.max(0, syscall(SYS_CREATE_RULESET, ...words) as number);
}

/**
 * From now on the calling thread, and every program and thread that it starts, opens nothing but these places, as far
 * as the kernel's version knows the right. Places that are not there are left out. Descriptors that are open stay so.
 * Needs `giveUpPrivileges`.
 */
export function restrictFiles(places: readonly Place[]): void {
  const version = landlockVersion();
  const rights = rightsOf(version);
  const attributes = Buffer.alloc(24);
  attributes.writeBigUInt64LE(rights.own | rights.use, 0);
  // Binding and connecting of TCP, and signals and abstract sockets to processes outside: with the filter, twice.
  attributes.writeBigUInt64LE(version >= 4 ? 0b11n : 0n, 8);
  attributes.writeBigUInt64LE(version >= 6 ? 0b11n : 0n, 16);
  const size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  const ruleset = syscall(SYS_CREATE_RULESET, "void *", attributes, "size_t", size, "unsigned int", 0) as number;
  if (ruleset < 0) throw new SystemCallError("landlock_create_ruleset");
  for (const place of places) addPlace(ruleset, place, rights);
  if ((syscall(SYS_RESTRICT_SELF, "int", ruleset, "unsigned int", 0) as number) !== 0) {
    throw new SystemCallError("landlock_restrict_self");
  }
  closeSync(ruleset);
}

function rightsOf(version: number): Record<Access, bigint> {
  const write = WRITE_FILE | (version >= 3 ? TRUNCATE : 0n);
  const refer = version >= 2 ? REFER : 0n;
  return {
    read: READ_FILE | READ_DIR,
    use: READ_FILE | READ_DIR | write | (version >= 5 ? IOCTL_DEV : 0n),
    own: READ_FILE | READ_DIR | write | changeDirectories | refer,
  };
}

function addPlace(ruleset: number, { path, access }: Place, rights: Record<Access, bigint>): void {
  for (const [flags, mask] of [
    [constants.O_DIRECTORY, ~0n],
    [0, ~(READ_DIR | changeDirectories | REFER)], // a file has no right of directories
  ] as const) {
    let fd: number;
    try {
      fd = openSync(path, O_PATH | flags);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOTDIR") continue;
      return;
    }
    const rule = Buffer.alloc(12);
    rule.writeBigUInt64LE(rights[access] & mask, 0);
    rule.writeInt32LE(fd, 8);
    const words = ["int", ruleset, "int", RULE_PATH_BENEATH, "void *", rule, "unsigned int", 0];
    const done = syscall(SYS_ADD_RULE, ...words) as number;
    if (done !== 0) throw new SystemCallError(`landlock_add_rule(${path})`);
    closeSync(fd);
    return;
  }
}
