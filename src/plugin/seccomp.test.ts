import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { type Architecture, type Filter, seccompProgram } from "./seccomp.ts";

const attack = attacksOn("the rest of the machine by a plugin");

/** What a filter answers to a call: the meaning of seccomp_data and of classic BPF, as the kernel reads them. */
function answer(program: Buffer, call: { audit: number; number: number; args?: readonly bigint[] }): string {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number >>> 0, 0);
  data.writeUInt32LE(call.audit, 4);
  for (const [index, arg] of (call.args ?? []).entries()) data.writeBigUInt64LE(arg, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < program.length; at += 8) {
    const value = program.readUInt32LE(at + 4);
    const jump = (isTrue: boolean) => {
      at += 8 * program.readUInt8(at + (isTrue ? 2 : 3));
    };
    const code = program.readUInt16LE(at);
    if (code === 0x20) accumulator = data.readUInt32LE(value);
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x45) jump((accumulator & value) !== 0);
    else if (code === 0x06) return answers.get(value) ?? `${value}`;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error("the program has no end");
}

const answers = new Map([
  [0x7fff_0000, "allow"],
  [0x8000_0000, "kill"],
  [0x0005_0001, "EPERM"],
  [0x0005_0026, "ENOSYS"],
]);

const pid = 4711;
const kernels = {
  x64: {
    audit: 0xc000003e,
    socket: 41,
    read: 0,
    clone: 56,
    clone3: 435,
    kill: 62,
    prlimit64: 302,
    ioctl: 16,
    fcntl: 72,
    sched_setscheduler: 144,
    execve: 59,
  },
  arm64: {
    audit: 0xc00000b7,
    socket: 198,
    read: 63,
    clone: 220,
    clone3: 435,
    kill: 129,
    prlimit64: 261,
    ioctl: 29,
    fcntl: 25,
    sched_setscheduler: 119,
    execve: 221,
  },
} as const;

describe.each(["x64", "arm64"] as const)("the filter of %s", (architecture: Architecture) => {
  const { audit, ...numbers } = kernels[architecture];
  const ask = (name: keyof typeof numbers, args: readonly bigint[] = [], filter: Filter = "all") =>
    answer(seccompProgram(architecture, filter, pid), { audit, number: numbers[name], args });

  test("allows what it does not name, and refuses what it does", () => {
    expect(ask("read")).toBe("allow");
    expect(ask("socket")).toBe("EPERM");
    expect(ask("execve")).toBe("EPERM");
  });

  test("lets threads begin and no processes", () => {
    expect(ask("clone", [0x3d0f00n])).toBe("allow");
    expect(ask("clone", [17n])).toBe("EPERM");
    expect(ask("clone3")).toBe("ENOSYS");
  });

  test(
    "lets a process signal and limit itself and nobody else, whatever stands in the upper bits",
    attack("hides a process number in the upper bits", "kill(pid | 1 << 32)"),
    () => {
      expect(ask("kill", [BigInt(pid)])).toBe("allow");
      expect(ask("kill", [BigInt(pid) | (1n << 32n)])).toBe("allow");
      for (const other of [0n, 1n, 0xffff_ffffn, BigInt(pid) + 1n]) expect(ask("kill", [other])).toBe("EPERM");
      expect(ask("prlimit64", [0n])).toBe("allow");
      expect(ask("prlimit64", [BigInt(pid)])).toBe("allow");
      expect(ask("prlimit64", [1n])).toBe("EPERM");
    },
  );

  test("refuses two requests to a terminal and allows the others", () => {
    expect(ask("ioctl", [0n, 0x5412n])).toBe("EPERM");
    expect(ask("ioctl", [0n, 0x541cn | (1n << 32n)])).toBe("EPERM");
    expect(ask("ioctl", [0n, 0x5401n])).toBe("allow");
  });

  test(
    "lets no descriptor belong to another process, and allows what else can be done with one",
    attack("has the kernel send the signal", "fcntl(F_SETOWN), F_SETOWN_EX, F_SETSIG, ioctl(FIOSETOWN), SIOCSPGRP"),
    () => {
      for (const command of [8n, 10n, 15n, 8n | (1n << 32n)]) expect(ask("fcntl", [3n, command, 1n])).toBe("EPERM");
      for (const request of [0x8901n, 0x8902n]) expect(ask("ioctl", [3n, request])).toBe("EPERM");
      for (const command of [0n, 1n, 2n, 3n, 4n, 9n, 11n, 1030n]) expect(ask("fcntl", [3n, command])).toBe("allow");
    },
  );

  test("lets a process choose its own scheduling and nobody else's", () => {
    for (const self of [0n, BigInt(pid)]) expect(ask("sched_setscheduler", [self])).toBe("allow");
    expect(ask("sched_setscheduler", [BigInt(pid) + 1n])).toBe("EPERM");
  });

  test(
    "ends a process that calls by another architecture's numbers",
    attack("calls by another architecture's numbers", "seccomp_data.arch"),
    () => {
      const number = numbers.read;
      expect(answer(seccompProgram(architecture, "all", pid), { audit: 0x4000_0003, number })).toBe("kill");
      observed("its process is ended");
    },
  );

  test("at a start refuses io_uring alone", () => {
    expect(ask("socket", [], "io_uring")).toBe("allow");
    expect(answer(seccompProgram(architecture, "io_uring", pid), { audit, number: 425 })).toBe("EPERM");
  });
});

test("on x64 a call of the x32 ABI is one that there is not", () => {
  const call = { audit: kernels.x64.audit, number: 0x4000_0000 };
  expect(answer(seccompProgram("x64", "all", pid), call)).toBe("ENOSYS");
});
