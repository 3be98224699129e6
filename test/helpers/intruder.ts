import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceRunner } from "../../src/engine/index.ts";
import { type Sandbox, SealedFiles } from "../../src/plugin/index.ts";
import { job } from "./runner.ts";

const native = join(import.meta.dirname, "..", "..", "native");

/** The numbers of the system calls that tests make, on x86-64 and arm64. */
const numbers = {
  openat: [257, 56],
  read: [0, 63],
  socket: [41, 198],
  socketpair: [53, 199],
  clone: [56, 220],
  clone3: [435, 435],
  execve: [59, 221],
  kill: [62, 129],
  tkill: [200, 130],
  tgkill: [234, 131],
  getpid: [39, 172],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  pidfd_open: [434, 434],
  prlimit64: [302, 261],
  prctl: [157, 167],
  ioctl: [16, 29],
  fcntl: [72, 25],
  sched_setscheduler: [144, 119],
  io_uring_setup: [425, 425],
  bpf: [321, 280],
  keyctl: [250, 219],
  mount: [165, 40],
  unshare: [272, 97],
  mknodat: [259, 33],
  unlinkat: [263, 35],
  fchmodat: [268, 53],
  utimensat: [280, 88],
  setxattr: [188, 5],
  setpriority: [141, 140],
  shmget: [29, 194],
  clock_settime: [227, 112],
  memfd_create: [319, 279],
} as const;
export type CallName = keyof typeof numbers;

export interface Called {
  readonly returned: number;
  /** The name of errno; empty where the call succeeded. */
  readonly error: string;
}

export interface Intruder {
  readonly pid: number;
  readonly home: string;
  /** Makes a system call inside the service's process. */
  call(name: CallName, ...args: readonly (number | string)[]): Promise<Called>;
  /** The same from a new thread of the plugin's own. */
  callInThread(name: CallName, ...args: readonly (number | string)[]): Promise<Called>;
  /** A call by its number, whatever it is. */
  callNumber(number: number, ...args: readonly (number | string)[]): Promise<Called>;
  end(): Promise<void>;
}

/** A running service whose plugin makes any system call that the test asks for. It runs until `end`. */
export async function startIntruder(sandbox: Sandbox): Promise<Intruder> {
  const directory = mkdtempSync(join(tmpdir(), "signet-test-intruder-"));
  const home = join(directory, "home");
  mkdirSync(home);
  const library = join(directory, "intruder.so");
  const flags = ["-shared", "-fPIC", "-O1", "-fvisibility=hidden", `-I${join(native, "include")}`];
  execFileSync("cc", [...flags, "-o", library, join(native, "test", "intruder.c"), "-lpthread"]);
  const tensor = (name: string) => ({ name, datatype: "UINT8", shape: [-1] }) as const;
  const runner = new ServiceRunner({
    name: "intruder",
    files: [{ name: "intruder.so", role: "library", fd: new SealedFiles().sealUnchecked(library, "intruder.so").fd }],
    config: {},
    inputs: [tensor("in")],
    outputs: [tensor("out")],
    concurrency: 1,
    admission: "queue",
    maxQueue: 64,
    queueTimeoutMs: null,
    slotBytes: 1 << 20,
    memoryLimitBytes: 2 ** 31,
    cancelGraceMs: 500,
    startTimeoutMs: 30_000,
    home,
    sandbox,
    onEvent: () => {},
  });
  const end = async () => {
    await runner.stop(0);
    rmSync(directory, { recursive: true, force: true });
  };
  const failure = await runner.start();
  if (failure) {
    await end();
    throw failure;
  }
  async function make(where: string, number: number, args: readonly (number | string)[]): Promise<Called> {
    const words = args.map((arg) => (typeof arg === "string" ? `s:${arg}` : `${arg}`));
    const data = Buffer.from([where, number, ...words].join(" "));
    const { outputs } = await runner.submit(job([{ ...tensor("in"), shape: [data.length], data }]));
    const [returned, errno] = Buffer.from(outputs[0]!.data).toString().split(" ").map(Number) as [number, number];
    return { returned, error: returned < 0 ? errnoName(errno) : "" };
  }
  const numberOf = (name: CallName) => numbers[name][process.arch === "x64" ? 0 : 1];
  return {
    pid: runner.pid!,
    home,
    call: (name, ...args) => make("here", numberOf(name), args),
    callInThread: (name, ...args) => make("thread", numberOf(name), args),
    callNumber: (number, ...args) => make("here", number, args),
    end,
  };
}

function errnoName(number: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}
