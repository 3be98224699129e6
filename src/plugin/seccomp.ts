import { constants } from "node:os";
import koffi from "koffi";
import { SystemCallError } from "./libc.ts";

/**
 * A filter of system calls for processes that run plugins. It is a list of what is refused, because what a library may
 * ask the kernel for while it computes is not ours to foresee. Numbers are those of x86-64 and arm64; null where the
 * call does not exist there.
 */

type Numbers = readonly [x64: number | null, arm64: number | null];

/** Answered with EPERM. docs/guides/operate.md names the groups. */
const refused: Readonly<Record<string, Readonly<Record<string, Numbers>>>> = {
  // Without a socket nothing reaches the network, and nothing the sockets of other programs.
  network: { socket: [41, 198] },
  // A process of its own would escape the gateway's eyes and outlive its kill.
  programs: { execve: [59, 221], execveat: [322, 281], fork: [57, null], vfork: [58, null] },
  "other processes": {
    ptrace: [101, 117],
    process_vm_readv: [310, 270],
    process_vm_writev: [311, 271],
    process_madvise: [440, 440],
    process_mrelease: [448, 448],
    pidfd_open: [434, 434],
    pidfd_getfd: [438, 438],
    pidfd_send_signal: [424, 424],
    kcmp: [312, 272],
    tkill: [200, 130],
    perf_event_open: [298, 241],
    setpriority: [141, 140],
    ioprio_set: [251, 30],
  },
  // Landlock decides what may be opened, and not who may from now on.
  "rights and times of files": {
    chmod: [90, null],
    fchmod: [91, 52],
    fchmodat: [268, 53],
    fchmodat2: [452, 452],
    chown: [92, null],
    lchown: [94, null],
    fchown: [93, 55],
    fchownat: [260, 54],
    utime: [132, null],
    utimes: [235, null],
    futimesat: [261, null],
    utimensat: [280, 88],
    setxattr: [188, 5],
    lsetxattr: [189, 6],
    fsetxattr: [190, 7],
    setxattrat: [463, 463],
    removexattr: [197, 14],
    lremovexattr: [198, 15],
    fremovexattr: [199, 16],
    removexattrat: [466, 466],
    file_setattr: [469, 469],
  },
  // What all processes of a user share.
  "shared memory and keys": {
    shmget: [29, 194],
    semget: [64, 190],
    msgget: [68, 186],
    mq_open: [240, 180],
    add_key: [248, 217],
    request_key: [249, 218],
    keyctl: [250, 219],
  },
  "mounts and name spaces": {
    mount: [165, 40],
    umount2: [166, 39],
    pivot_root: [155, 41],
    chroot: [161, 51],
    open_tree: [428, 428],
    open_tree_attr: [467, 467],
    move_mount: [429, 429],
    fsopen: [430, 430],
    fsconfig: [431, 431],
    fsmount: [432, 432],
    fspick: [433, 433],
    mount_setattr: [442, 442],
    unshare: [272, 97],
    setns: [308, 268],
    mknod: [133, null],
    mknodat: [259, 33],
    open_by_handle_at: [304, 265],
    fanotify_init: [300, 262],
  },
  // It performs calls that no filter sees.
  io_uring: { io_uring_setup: [425, 425], io_uring_enter: [426, 426], io_uring_register: [427, 427] },
  // The way into the kernel too often.
  "doors of the kernel": {
    bpf: [321, 280],
    userfaultfd: [323, 282],
    personality: [135, 92],
  },
  "the machine": {
    init_module: [175, 105],
    finit_module: [313, 273],
    delete_module: [176, 106],
    kexec_load: [246, 104],
    kexec_file_load: [320, 294],
    reboot: [169, 142],
    swapon: [167, 224],
    swapoff: [168, 225],
    acct: [163, 89],
    quotactl: [179, 60],
    quotactl_fd: [443, 443],
    syslog: [103, 116],
    vhangup: [153, 58],
    settimeofday: [164, 170],
    clock_settime: [227, 112],
    adjtimex: [159, 171],
    clock_adjtime: [305, 266],
    sethostname: [170, 161],
    setdomainname: [171, 162],
    iopl: [172, null],
    ioperm: [173, null],
  },
};

/** Allowed where the process names itself. */
const toItselfOnly: Readonly<Record<string, Numbers>> = {
  kill: [62, 129],
  tgkill: [234, 131],
  rt_sigqueueinfo: [129, 138],
  rt_tgsigqueueinfo: [297, 240],
  prlimit64: [302, 261],
  sched_setparam: [142, 118],
  sched_setscheduler: [144, 119],
  sched_setattr: [314, 274],
};
/** Those of them to which 0 is the caller. To kill it is the caller's group. */
const zeroIsItself = new Set(["prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr"]);

const CLONE: Numbers = [56, 220];
const CLONE3: Numbers = [435, 435];
const IOCTL: Numbers = [16, 29];
const FCNTL: Numbers = [72, 25];
const PRCTL: Numbers = [157, 167];
const SECCOMP: Numbers = [317, 277];

const CLONE_THREAD = 0x1_0000;
// Both put input into a terminal as if somebody had typed it.
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
// The kernel sends a signal of the caller's choice, SIGKILL too, to whom a descriptor is said to belong.
const F_SETOWN = 8;
const F_SETSIG = 10;
const F_SETOWN_EX = 15;
const FIOSETOWN = 0x8901;
const SIOCSPGRP = 0x8902;
const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;

const architectures = {
  x64: { column: 0, audit: 0xc000_003e },
  arm64: { column: 1, audit: 0xc000_00b7 },
} as const;
export type Architecture = keyof typeof architectures;

// Instructions of classic BPF, and where seccomp_data has what they read. Both processors are little-endian.
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;
const AT_NUMBER = 0;
const AT_ARCHITECTURE = 4;
const atArgument = (index: number) => 16 + 8 * index;

const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const errorAnswer = (errno: number) => 0x0005_0000 | errno;
// Calls of the x32 ABI are the same calls by other numbers.
const X32_BIT = 0x4000_0000;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** `io_uring` for a start: Node must not open one, and falls back to other calls where it cannot. */
export type Filter = "io_uring" | "all";

/** The filter of a process, as instructions of classic BPF for seccomp(2). */
export function seccompProgram(architecture: Architecture, filter: Filter, pid: number): Buffer {
  const { column, audit } = architectures[architecture];
  const deny: Instruction = [RETURN, 0, 0, errorAnswer(constants.errno.EPERM)];
  const allow: Instruction = [RETURN, 0, 0, ALLOW];
  const absent: Instruction = [RETURN, 0, 0, errorAnswer(constants.errno.ENOSYS)];
  const program: Instruction[] = [
    [LOAD, 0, 0, AT_ARCHITECTURE],
    [JUMP_EQUAL, 1, 0, audit],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD, 0, 0, AT_NUMBER],
  ];
  if (architecture === "x64") program.push([JUMP_GREATER_EQUAL, 0, 1, X32_BIT], absent);
  const when = (numbers: Numbers, ...then: Instruction[]) => {
    const number = numbers[column];
    if (number !== null) program.push([JUMP_EQUAL, 0, then.length, number], ...then);
  };

  const groups = filter === "all" ? Object.values(refused) : [refused.io_uring!];
  for (const calls of groups) for (const numbers of Object.values(calls)) when(numbers, deny);
  if (filter === "all") pushConditions();
  program.push(allow);
  return encode(program);

  function pushConditions(): void {
    // Process ids have 32 bits, and the kernel looks at no more.
    for (const [name, numbers] of Object.entries(toItselfOnly)) {
      const zero: Instruction[] = zeroIsItself.has(name) ? [[JUMP_EQUAL, 1, 0, 0]] : [];
      when(numbers, [LOAD, 0, 0, atArgument(0)], ...zero, [JUMP_EQUAL, 0, 1, pid], allow, deny);
    }
    when(CLONE, [LOAD, 0, 0, atArgument(0)], [JUMP_ANY_BIT, 0, 1, CLONE_THREAD], allow, deny);
    // Its flags lie in memory, where no filter can look. glibc goes on with clone.
    when(CLONE3, absent);
    whenArgument(IOCTL, 1, [TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP]);
    whenArgument(FCNTL, 1, [F_SETOWN, F_SETSIG, F_SETOWN_EX]);
    // The gateway's end must stay this process's end.
    whenArgument(PRCTL, 0, [PR_SET_PDEATHSIG, PR_SET_DUMPABLE]);
  }

  /** Refuses a call where an argument is one of these. The kernel looks at its lower 32 bits, as this does. */
  function whenArgument(numbers: Numbers, index: number, values: readonly number[]): void {
    const isOne = values.map((value, at): Instruction => [JUMP_EQUAL, values.length - at, 0, value]);
    when(numbers, [LOAD, 0, 0, atArgument(index)], ...isOne, allow, deny);
  }
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, jumpTrue, jumpFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}

const syscall = koffi.load(null as unknown as string).func("long syscall(long number, ...)");

function seccomp(...words: unknown[]): number {
  return syscall(SECCOMP[architectures[process.arch as Architecture].column], ...words);
}

const SECCOMP_GET_ACTION_AVAIL = 2;

/** True if this kernel can refuse a call with an error, which all with filters can. */
export function hasSystemCallFilters(): boolean {
  const action = new Uint32Array([errorAnswer(0)]);
  return seccomp("int", SECCOMP_GET_ACTION_AVAIL, "unsigned int", 0, "void *", action) === 0;
}

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

/** Filters the system calls of all threads of this process, for good. Needs `giveUpPrivileges`. */
export function filterSystemCalls(filter: Filter): void {
  const program = seccompProgram(process.arch as Architecture, filter, process.pid);
  const descriptor = Buffer.alloc(16);
  descriptor.writeUInt16LE(program.length / 8, 0);
  descriptor.writeBigUInt64LE(BigInt(koffi.address(program)), 8);
  const flags = SECCOMP_FILTER_FLAG_TSYNC;
  // Above 0 it is the thread that could not be filtered.
  const done = seccomp("int", SECCOMP_SET_MODE_FILTER, "unsigned int", flags, "void *", descriptor);
  if (done !== 0) throw new SystemCallError("seccomp");
}
