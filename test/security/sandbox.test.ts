import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import { useDirectory } from "../helpers/crooked.ts";
import { type Called, type CallName, type Intruder, startIntruder } from "../helpers/intruder.ts";
import { sandboxes, skipWithout } from "../helpers/sandboxes.ts";

const attack = attacksOn("the rest of the machine by a plugin");

/** A plugin with bad intentions, in a real service host. Each attack succeeds without a sandbox, as the last test shows. */

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_STREAM = 1;
const SIGCHLD = 17;
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY_CREATE = 0o101;
const PTRACE_ATTACH = 16;
const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const TIOCSTI = 0x5412;
const F_SETOWN = 8;
const F_SETSIG = 10;
const SIOCSPGRP = 0x8902;
const SCHED_IDLE = 5;
const CHANNEL = 3;

/** Another process of the same user, which a plugin has no business with. */
function useBystander(): ChildProcess {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return child;
}

/** A file of the server that is not open to the plugin. */
const shadow = join(tmpdir(), `signet-test-shadow-${process.pid}`);
beforeAll(() => writeFileSync(shadow, "a secret", { mode: 0o600 }));
afterAll(() => rmSync(shadow));

interface Try {
  readonly name: string;
  readonly tried: string;
  readonly call: (victim: number) => readonly [CallName, ...(number | string)[]];
  readonly code?: string;
}

const tries: readonly Try[] = [
  { name: "connects to another machine", tried: "socket(AF_INET)", call: () => ["socket", AF_INET, SOCK_STREAM, 0] },
  { name: "connects over IPv6", tried: "socket(AF_INET6)", call: () => ["socket", AF_INET6, SOCK_STREAM, 0] },
  { name: "talks to a local daemon", tried: "socket(AF_UNIX)", call: () => ["socket", AF_UNIX, SOCK_STREAM, 0] },
  { name: "asks the kernel for its routes", tried: "socket(AF_NETLINK)", call: () => ["socket", AF_NETLINK, 3, 0] },
  { name: "goes around the filter by io_uring", tried: "io_uring_setup()", call: () => ["io_uring_setup", 1, 0] },
  {
    name: "attaches to the gateway as a debugger",
    tried: "ptrace(PTRACE_ATTACH)",
    call: (pid) => ["ptrace", PTRACE_ATTACH, pid, 0, 0],
  },
  {
    name: "reads the gateway's memory",
    tried: "process_vm_readv()",
    call: (pid) => ["process_vm_readv", pid, 0, 0, 0, 0, 0],
  },
  { name: "takes a descriptor of the gateway", tried: "pidfd_open()", call: (pid) => ["pidfd_open", pid, 0] },
  { name: "ends the gateway", tried: "kill()", call: (pid) => ["kill", pid, 0] },
  { name: "ends every process of its group", tried: "kill(0)", call: () => ["kill", 0, 0] },
  { name: "ends one thread of the gateway", tried: "tgkill()", call: (pid) => ["tgkill", pid, pid, 0] },
  {
    name: "has the kernel signal the gateway, as whom its end of the channel belongs to",
    tried: "fcntl(F_SETOWN)",
    call: (pid) => ["fcntl", CHANNEL, F_SETOWN, pid],
  },
  {
    name: "has the kernel send SIGKILL where a descriptor's signal goes",
    tried: "fcntl(F_SETSIG)",
    call: () => ["fcntl", CHANNEL, F_SETSIG, 9],
  },
  {
    name: "has the kernel signal the gateway, by the name that sockets have for it",
    tried: "ioctl(SIOCSPGRP)",
    call: (pid) => ["ioctl", CHANNEL, SIOCSPGRP, pid],
  },
  { name: "changes the gateway's limits", tried: "prlimit64()", call: (pid) => ["prlimit64", pid, 7, 0, 0] },
  { name: "starts a program", tried: "execve(/bin/sh)", call: () => ["execve", "/bin/sh", 0, 0] },
  { name: "leaves a process behind", tried: "clone(SIGCHLD)", call: () => ["clone", SIGCHLD, 0, 0, 0, 0] },
  {
    name: "outlives the gateway",
    tried: "prctl(PR_SET_PDEATHSIG)",
    call: () => ["prctl", PR_SET_PDEATHSIG, 0, 0, 0, 0],
  },
  {
    name: "lets its memory be dumped",
    tried: "prctl(PR_SET_DUMPABLE)",
    call: () => ["prctl", PR_SET_DUMPABLE, 1, 0, 0, 0],
  },
  { name: "types into the operator's terminal", tried: "ioctl(TIOCSTI)", call: () => ["ioctl", 0, TIOCSTI, "x"] },
  { name: "puts a program into the kernel", tried: "bpf()", call: () => ["bpf", 0, 0, 0] },
  { name: "reads the user's keyring", tried: "keyctl()", call: () => ["keyctl", 0, -4, 0, 0, 0] },
  { name: "mounts a file system", tried: "mount()", call: () => ["mount", "none", "/mnt", "tmpfs", 0, 0] },
  { name: "makes a name space of its own", tried: "unshare(CLONE_NEWUSER)", call: () => ["unshare", 0x1000_0000] },
  {
    name: "makes a device",
    tried: "mknod()",
    call: () => ["mknodat", AT_FDCWD, "/dev/shm/signet-test", 0o20600, 0x103],
  },
  { name: "shares memory with another program", tried: "shmget()", call: () => ["shmget", 0, 4096, 0o1600] },
  { name: "slows the gateway down", tried: "setpriority()", call: (pid) => ["setpriority", 0, pid, 19] },
  {
    name: "lets the gateway run only when nobody else wants to",
    tried: "sched_setscheduler()",
    call: (pid) => ["sched_setscheduler", pid, SCHED_IDLE, 0],
  },
  {
    name: "opens the host's key to everybody",
    tried: "chmod(host.key, 0666)",
    call: () => ["fchmodat", AT_FDCWD, shadow, 0o666],
  },
  { name: "hides that it changed a file", tried: "utimensat()", call: () => ["utimensat", AT_FDCWD, shadow, 0, 0] },
  { name: "marks files of others", tried: "setxattr()", call: () => ["setxattr", shadow, "user.x", "y", 1, 0] },
  { name: "sets the clock", tried: "clock_settime()", call: () => ["clock_settime", 0, 0] },
];

const intruders = new Map<string, Intruder>();
afterAll(async () => {
  for (const intruder of intruders.values()) await intruder.end();
});

/** The plugin in that sandbox, for the tests of a describe: one for the whole file. */
function useIntruder(sandbox: (typeof sandboxes)[number]): () => Intruder {
  beforeEach(async (context) => {
    skipWithout(sandbox, context);
    if (!intruders.has(sandbox)) intruders.set(sandbox, await startIntruder(sandbox));
  });
  return () => intruders.get(sandbox)!;
}

describe.each(sandboxes)("attacks on the rest of the machine by a plugin, sandbox: %s", (sandbox) => {
  const intruder = useIntruder(sandbox);
  for (const { name, tried, call } of tries) {
    test(name, attack(`${tried}, ${sandbox}`), async () => {
      const { error } = await intruder().call(...call(process.pid));
      expect(error).toBe("EPERM");
      observed("refused by the kernel");
    });
  }

  test("starts a process by a call whose flags no filter sees", attack(`clone3(), ${sandbox}`), async () => {
    const { error } = await intruder().call("clone3", 0, 0);
    expect(error).toBe("ENOSYS");
    observed("the kernel says it has no such call");
  });

  test("makes calls by the numbers of the x32 ABI", attack(`socket() | 0x40000000, ${sandbox}`), async ({ skip }) => {
    if (process.arch !== "x64") skip("there is no x32 ABI here");
    const { error } = await intruder().callNumber(0x4000_0000 + 41, AF_INET, SOCK_STREAM, 0);
    expect(error).toBe("ENOSYS");
    observed("the kernel says it has no such call");
  });

  test("tries again from a thread of its own", attack(`pthread_create(), socket(), ${sandbox}`), async () => {
    const { error } = await intruder().callInThread("socket", AF_INET, SOCK_STREAM, 0);
    expect(error).toBe("EPERM");
    observed("the filter holds in every thread");
  });
});

describe.each(sandboxes)("attacks on files by a plugin, sandbox: %s", (sandbox) => {
  const intruder = useIntruder(sandbox);
  /** What lies outside of name spaces is not there; without them, it is, but not to be opened. */
  const refused = ({ error }: Called, apart = "ENOENT") => {
    expect(error).toBe(sandbox === "bwrap" ? apart : "EACCES");
    const outcome = error === "EROFS" ? "it is read-only there" : "there is no such file";
    observed(sandbox === "bwrap" ? outcome : "refused by Landlock");
  };
  const secret = (directory: string) => {
    const path = join(directory, "host.key");
    writeFileSync(path, "a secret", { mode: 0o600 });
    return path;
  };

  test("reads the host's key", attack(`open(host.key), ${sandbox}`), async () => {
    refused(await intruder().call("openat", AT_FDCWD, secret(useDirectory()), O_RDONLY, 0));
  });

  test("reads it by a path through its own directory", attack(`open(HOME/../host.key), ${sandbox}`), async () => {
    const around = `/proc/self/cwd/../../../..${secret(useDirectory())}`;
    refused(await intruder().call("openat", AT_FDCWD, around, O_RDONLY, 0));
  });

  test("reads it from a thread of its own", attack(`pthread_create(), open(host.key), ${sandbox}`), async () => {
    refused(await intruder().callInThread("openat", AT_FDCWD, secret(useDirectory()), O_RDONLY, 0));
  });

  test("reads the gateway's memory as a file", attack(`open(/proc/PID/mem), ${sandbox}`), async () => {
    refused(await intruder().call("openat", AT_FDCWD, `/proc/${process.pid}/mem`, O_RDONLY, 0));
  });

  test("opens the gateway's descriptors", attack(`open(/proc/PID/fd/N), ${sandbox}`), async () => {
    refused(await intruder().call("openat", AT_FDCWD, `/proc/${process.pid}/fd/0`, O_RDONLY, 0));
  });

  test(
    "reads the serial numbers of the machine",
    attack(`open(/sys/class/dmi/id/product_uuid), ${sandbox}`),
    async () => {
      refused(await intruder().call("openat", AT_FDCWD, "/sys/devices/virtual", O_RDONLY, 0));
    },
  );

  test("writes where others look", attack(`open(/tmp/x, O_CREAT), ${sandbox}`), async () => {
    const path = join(useDirectory(), "new");
    refused(await intruder().call("openat", AT_FDCWD, path, O_WRONLY_CREATE, 0o600));
  });

  test("removes a file of the server", attack(`unlink(ledger), ${sandbox}`), async () => {
    const directory = useDirectory();
    const called = await intruder().call("unlinkat", AT_FDCWD, secret(directory), 0);
    expect(readdirSync(directory)).toEqual(["host.key"]);
    refused(called);
  });

  test("changes the server's own program", attack(`open(src/server.ts, O_WRONLY), ${sandbox}`), async () => {
    const program = join(import.meta.dirname, "..", "..", "src", "server.ts");
    refused(await intruder().call("openat", AT_FDCWD, program, 1, 0), "EROFS");
  });
});

describe.each(sandboxes)("a service host, sandbox: %s", (sandbox) => {
  const intruder = useIntruder(sandbox);

  test(
    "has no capability, no way to gain one, a filter, no core dump and a bound for its files",
    attack("gains a privilege", `capabilities, setuid programs, ${sandbox}`),
    async () => {
      const status = statusOf(intruder().pid);
      expect(status).toMatchObject({ NoNewPrivs: "1", Seccomp: "2" });
      // For root, reading files remains; Landlock decides which.
      expect(BigInt(`0x${status.CapEff}`) & ~4n).toBe(0n);
      expect(BigInt(`0x${status.CapBnd}`) & ~(process.getuid!() === 0 ? 4n : -1n)).toBe(0n);
      const limits = readFileSync(`/proc/${intruder().pid}/limits`, "utf8");
      expect(limits).toMatch(/^Max core file size +0 +0 /m);
      expect(limits).toMatch(/^Max file size +1073741824 +1073741824 /m);
      observed("there is none, and no way to one");
    },
  );

  test(
    "is who ends when the machine has no memory left, not the gateway",
    attack("fills the machine's memory by memory files", `memfd_create(), which counts for nobody, ${sandbox}`),
    () => {
      const score = (pid: number | string) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
      expect(score(intruder().pid)).toBe(Math.max(500, score("self")));
      observed("its score with the kernel is half of the machine's memory more than the gateway's");
    },
  );

  test("has the restrictions in every thread", async () => {
    const threads = readdirSync(`/proc/${intruder().pid}/task`);
    expect(threads.length).toBeGreaterThan(3);
    for (const thread of threads) {
      expect(statusOf(`${intruder().pid}/task/${thread}`)).toMatchObject({ NoNewPrivs: "1", Seccomp: "2" });
    }
  });

  test(
    "has no descriptor but its streams, the channel, the slots, the library and Node's own",
    attack("uses a descriptor that was left open", `/proc/self/fd, ${sandbox}`),
    async () => {
      const directory = `/proc/${intruder().pid}/fd`;
      const open = readdirSync(directory).map((fd) => readlinkSync(join(directory, fd)).replace(/\d+/g, "N"));
      const kinds = new Set(open);
      expect(open.filter((name) => name.startsWith("socket:"))).toHaveLength(3); // stdout, stderr, the channel
      for (const kind of kinds) {
        expect(kind).toMatch(
          /^(?:\/dev\/null|socket:\[N\]|pipe:\[N\]|anon_inode:\[event\w+\]|\/memfd:[\w.-]+ \(deleted\))$/,
        );
      }
      expect([...kinds].join()).not.toContain("io_uring");
      observed(`none of ${open.length} is the gateway's own`);
    },
  );

  test("can still do what plugins do: threads, memory files, its own files, signals to itself", async () => {
    const self = Number(statusOf(intruder().pid).NSpid!.split(/\s+/).at(-1));
    expect(await intruder().callInThread("getpid")).toMatchObject({ returned: self });
    expect(await intruder().call("memfd_create", "x", 0)).toMatchObject({ error: "" });
    expect(
      await intruder().call("openat", AT_FDCWD, join(intruder().home, "cache"), O_WRONLY_CREATE, 0o600),
    ).toMatchObject({
      error: "",
    });
    expect(await intruder().call("openat", AT_FDCWD, "/proc/self/status", O_RDONLY, 0)).toMatchObject({ error: "" });
    expect(await intruder().call("openat", AT_FDCWD, "/proc/cpuinfo", O_RDONLY, 0)).toMatchObject({ error: "" });
    expect(await intruder().call("kill", self, 0)).toMatchObject({ error: "" });
    expect(await intruder().call("prlimit64", 0, 7, 0, 0)).toMatchObject({ error: "" });
  });
});

describe("name spaces", () => {
  const intruder = useIntruder("bwrap");

  test(
    "are its own, all of them, so that it would be kept apart without the filter too",
    attack("finds something outside of its name spaces", "/proc/self/ns, network interfaces"),
    () => {
      for (const kind of ["user", "pid", "ipc", "net", "uts", "cgroup", "mnt"]) {
        const own = readlinkSync(`/proc/${intruder().pid}/ns/${kind}`);
        expect([kind, own]).not.toEqual([kind, readlinkSync(`/proc/self/ns/${kind}`)]);
      }
      const interfaces = readFileSync(`/proc/${intruder().pid}/net/dev`, "utf8").trim().split("\n").slice(2);
      expect(interfaces.map((line) => line.trim().split(":")[0])).toEqual(["lo"]);
      observed("all seven kinds are its own, lo is the only interface");
    },
  );

  test(
    "have no file that can be written but devices and the service's own directory",
    attack("writes to a file system of the machine", "/proc/self/mountinfo, bwrap"),
    () => {
      const mounts = readFileSync(`/proc/${intruder().pid}/mountinfo`, "utf8").trim().split("\n");
      const points = mounts.map((line) => line.split(" ")).map(([, , , , point, options]) => ({ point, options }));
      const writable = points.filter(({ options }) => options!.split(",").includes("rw")).map(({ point }) => point!);
      const devices = /^\/dev\/(?:null|zero|random|urandom|nvidia.*|dri)$/;
      expect(writable.filter((point) => !devices.test(point))).toEqual([intruder().home]);
      expect(points.map(({ point }) => point)).toEqual(expect.arrayContaining(["/", "/proc", "/usr"]));
      expect(points.map(({ point }) => point)).not.toContain("/etc");
      observed("nothing but devices and its own directory can be written");
    },
  );
});

describe("a service host, sandbox: none", () => {
  test("could do all of that without the sandbox", async () => {
    const free = await startIntruder("none");
    onTestFinished(free.end);
    const bystander = useBystander().pid!;
    const held = tries.filter(({ name }) => !needsMore.has(name));
    for (const { name, call } of held) {
      if (name === "starts a program" || name === "leaves a process behind") continue; // it would
      if (name === "ends every process of its group" || name === "sets the clock") continue;
      const { error } = await free.call(...call(bystander));
      expect([name, error]).not.toEqual([name, "EPERM"]);
    }
    const directory = useDirectory();
    mkdirSync(join(directory, "x"));
    expect(await free.call("openat", AT_FDCWD, directory, O_RDONLY, 0)).toMatchObject({ error: "" });
    expect(await free.call("openat", AT_FDCWD, join(directory, "new"), O_WRONLY_CREATE, 0o600)).toMatchObject({
      error: "",
    });
    expect(statusOf(free.pid)).toMatchObject({ Seccomp: "0" });
  });
});

/** The lines of a /proc/PID/status. */
function statusOf(pid: number | string): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
  return Object.fromEntries(lines.map((line) => [line.split(":")[0]!, line.slice(line.indexOf(":") + 1).trim()]));
}

/** What users other than root may not do anyway, and what depends on how the machine is set up. */
const needsMore = new Set(["mounts a file system", "makes a device", "puts a program into the kernel"]);
