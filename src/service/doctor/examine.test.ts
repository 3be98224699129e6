import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { identityService, useLicensedHost } from "../../../test/helpers/licensed-host.ts";
import { useDriver, useSystemRoot } from "../../../test/helpers/nvml.ts";
import { formatFindings, paintFindings } from "../../cli/format-findings.ts";
import { dataDirectory } from "../../config/index.ts";
import { openHostKey } from "../../license/index.ts";
import { openHostLedger } from "../host-ledger.ts";
import type { LicenseStatus } from "../license-status.ts";
import type { Examination } from "./examine.ts";
import { examine } from "./examine.ts";
import { examineGpu } from "./examine-gpu.ts";
import { examineKernel } from "./examine-kernel.ts";
import { examineRecords } from "./examine-records.ts";
import { examineRuntime } from "./examine-runtime.ts";
import { examineSystemd } from "./examine-systemd.ts";
import type { DoctorFinding, Findings } from "./finding.ts";
import { redactFindings } from "./redact-findings.ts";
import { realSurroundings, type Surroundings } from "./surroundings.ts";

const edge = { verifyTls: () => undefined, askHealth: async () => "SERVING" };

/** An examination of a made-up system with these files. */
function useSystem(files: Record<string, string> = {}, around: Partial<Surroundings> = {}): Examination {
  const root = around.root ?? useSystemRoot();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  const data = dataDirectory(join(root, "data"));
  return { data, configFile: undefined, edge, around: { ...realSurroundings(), env: {}, ...around, root } };
}

const find = ({ list }: Findings, check: string) => list.find((finding) => finding.check === check);

describe("the kernel", () => {
  const limits = "Max core file size         0                    unlimited            bytes";
  const good = {
    "proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow",
    "proc/sys/kernel/yama/ptrace_scope": "1",
    "proc/sys/kernel/core_pattern": "core",
    "proc/sys/user/max_user_namespaces": "100",
    "sys/kernel/security/lsm": "lockdown,capability,landlock,yama",
    "proc/self/limits": limits,
  };

  test("that has everything is all ok", () => {
    const { list } = examineKernel(useSystem(good));
    expect(list.filter(({ level }) => level !== "ok")).toEqual([]);
    expect(list.map(({ check }) => check)).toContain("sealed memory");
  });

  test.each([
    ["no seccomp filters", { "proc/sys/kernel/seccomp/actions_avail": "" }, "seccomp"],
    ["ptrace for everybody", { "proc/sys/kernel/yama/ptrace_scope": "0" }, "ptrace_scope"],
    ["core dumps to a program", { "proc/sys/kernel/core_pattern": "|/usr/lib/systemd/systemd-coredump" }, "core dumps"],
    ["core dumps to files", { "proc/self/limits": limits.replace(" 0 ", " unlimited ") }, "core dumps"],
  ])("with %s gets a note with a next step", (_, change, check) => {
    const { list } = examineKernel(useSystem({ ...good, ...change }));
    const noted = list.filter(({ level }) => level !== "ok");
    expect(noted.map((finding) => finding.check)).toEqual([check]);
    expect(noted[0]?.next).toBeTruthy();
  });
});

describe("a configuration with sandbox: bwrap", () => {
  const useConfigured = (files: Record<string, string>, uid = 1000) => {
    const examination = useSystem({ "data/signet.yaml": "services: { ocr: { sandbox: bwrap } }", ...files }, { uid });
    return examineKernel(examination);
  };
  const kernel = { "proc/sys/user/max_user_namespaces": "100" };

  test("makes a missing bubblewrap a problem; without it, that is in order", () => {
    const findings = useConfigured(kernel);
    expect(find(findings, "bubblewrap")).toMatchObject({ level: "problem", next: expect.stringContaining("Install") });
    expect(find(findings, "user namespaces")).toMatchObject({ level: "ok" });
    expect(find(examineKernel(useSystem(kernel)), "bubblewrap")).toMatchObject({ level: "ok" });
  });

  test("is in order where bubblewrap is there and may make name spaces", () => {
    const findings = useConfigured({ ...kernel, "usr/bin/bwrap": "" });
    expect(find(findings, "bubblewrap")).toMatchObject({ level: "ok" });
    expect(find(findings, "user namespaces")).toMatchObject({ level: "ok" });
  });

  test.each([
    ["proc/sys/user/max_user_namespaces", "0", ["problem", "problem"]],
    ["proc/sys/kernel/unprivileged_userns_clone", "0", ["problem", "ok"]],
    ["proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", ["problem", "ok"]],
  ])("makes %s = %s a problem, except where it does not hold for root", (path, value, expected) => {
    const levels = [1000, 0].map(
      (uid) => find(useConfigured({ ...kernel, [path]: value }, uid), "user namespaces")?.level,
    );
    expect(levels).toEqual(expected);
  });
});

describe("Node and its environment", () => {
  test("in order is all ok", () => {
    const { list } = examineRuntime(useSystem({}, { execArgv: ["--disable-sigusr1"] }));
    expect(list.map(({ level }) => level)).toEqual(["ok", "ok", "ok"]);
  });

  test.each(["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "NODE_OPTIONS", "OPENSSL_CONF"])(
    "%s is a problem, told without its value",
    (name) => {
      const findings = examineRuntime(useSystem({}, { env: { [name]: "/home/anna/secret.so", PATH: "/usr/bin" } }));
      expect(find(findings, "environment")).toMatchObject({ level: "problem", found: expect.stringContaining(name) });
      expect(JSON.stringify(findings.list)).not.toContain("secret");
    },
  );

  test.each([[["--inspect=0.0.0.0:9229"]], [["--require", "/tmp/x.js"]], [[]]])(
    "options %j are a problem",
    (execArgv) => {
      expect(find(examineRuntime(useSystem({}, { execArgv })), "options of Node")?.level).toBe("problem");
    },
  );

  test("that is too old is a problem, and one that is newer a note", () => {
    expect(find(examineRuntime(useSystem({}, { nodeVersion: "20.18.1" })), "Node")?.level).toBe("problem");
    expect(find(examineRuntime(useSystem({}, { nodeVersion: "26.0.0" })), "Node")?.level).toBe("note");
  });

  test("a library for every program of the machine, and few open files, are noted", () => {
    const limits = "Max open files            256                  256                  files";
    const findings = examineRuntime(useSystem({ "etc/ld.so.preload": "/opt/agent.so", "proc/self/limits": limits }));
    expect(find(findings, "ld.so.preload")?.level).toBe("note");
    expect(find(findings, "open files")?.level).toBe("note");
  });
});

describe("systemd's unit", () => {
  const unit = "etc/systemd/system/signet.service";
  const wants = "etc/systemd/system/multi-user.target.wants/signet.service";

  test("that is not there is no trouble", () => {
    expect(examineSystemd(useSystem()).list).toMatchObject([{ level: "ok" }]);
  });

  test("as the guide has it is ok once it is enabled", () => {
    const text = "[Service]\nKillMode=mixed\nPrivateTmp=yes";
    expect(examineSystemd(useSystem({ [unit]: text })).list).toMatchObject([{ check: "unit", level: "note" }]);
    expect(examineSystemd(useSystem({ [unit]: text, [wants]: "" })).list).toMatchObject([{ level: "ok" }]);
  });

  test("with settings that break the server says which, drop-ins included", () => {
    const text = "[Service]\nKillMode=mixed\n# MemoryDenyWriteExecute=yes\nEnvironment=SIGNET_DATA=/srv/other";
    const dropIn = { [`${unit}.d/hard.conf`]: "[Service]\nMemoryDenyWriteExecute = true\nPrivateDevices=yes" };
    const quiet = examineSystemd(useSystem({ [unit]: text, [wants]: "" }));
    expect(quiet.list.map(({ check }) => check)).toEqual(["unit", "SIGNET_DATA"]);
    const findings = examineSystemd(useSystem({ [unit]: text, [wants]: "", ...dropIn }));
    expect(find(findings, "MemoryDenyWriteExecute")?.level).toBe("problem");
    expect(find(findings, "PrivateDevices")?.level).toBe("note");
  });
});

describe("the GPU's driver", () => {
  const nobody = { status: null, needsGpu: false };
  const byGpu = { status: { hostMatch: { parts: [{ type: "gpu" }] } } as unknown as LicenseStatus, needsGpu: false };
  const gpuOf = async (root: string, wanted: { status: LicenseStatus | null; needsGpu: boolean }) =>
    (await examineGpu(useSystem({}, { root }), wanted)).list[0];

  test("that works is told with its cards, without their numbers", async () => {
    const finding = await gpuOf(useDriver("GPUS=2", "MIG"), nobody);
    expect(finding).toMatchObject({
      level: "ok",
      found: expect.stringMatching(/2 x NVIDIA H100.*80 GiB.*1 cut by MIG/),
    });
    expect(finding?.found).not.toMatch(/GPU-0/);
  });

  test("that is not there matters only to who needs one", async () => {
    const root = useSystemRoot();
    expect(await gpuOf(root, nobody)).toMatchObject({ level: "ok" });
    expect(await gpuOf(root, { status: null, needsGpu: true })).toMatchObject({ level: "problem" });
    expect(await gpuOf(root, byGpu)).toMatchObject({ level: "problem", found: expect.stringMatching(/recognizes/) });
  });

  test("that lost a card or does not start says so", async () => {
    expect(await gpuOf(useDriver("GPUS=2", "LOST=1"), nobody)).toMatchObject({ level: "note" });
    const broken = await gpuOf(useDriver("INIT=18"), nobody);
    expect(broken).toMatchObject({ level: "note", found: expect.stringMatching(/different versions/) });
  });
});

describe("what a finding says", () => {
  const finding = (found: string): DoctorFinding => ({ area: "host", check: "x", level: "note", found, next: found });
  const data = dataDirectory("/home/anna/signet data");
  const around = { ...realSurroundings(), home: "/home/anna", hostname: "acme-gpu1" };
  const redact = (text: string) => redactFindings([finding(text)], data, around)[0]!;

  test.each([
    ["/home/anna/signet data/host/host.key: gone", "DATA/host/host.key: gone"],
    ["/home/anna/signet data", "DATA"],
    ["/home/anna/other and /home/annabel", "~/other and /home/annabel"],
    ["acme-gpu1 and acme-gpu12", "HOST and acme-gpu12"],
    ["10.1.2.3:8001 and 127.0.0.1:8001", "ADDRESS:8001 and 127.0.0.1:8001"],
    ["driver 550.54.15, Node 24.21.0", "driver 550.54.15, Node 24.21.0"],
    ["GPU-1f1c2d3e-4b5a-6978-8695-a4b3c2d1e0f1", "UUID"],
    [`sgn_abcdefgh_${"A".repeat(43)}`, "TOKEN"],
  ])("of %j is %j", (text, shown) => {
    expect(redact(text)).toMatchObject({ found: shown, next: shown });
  });

  test("is broken at 80 columns, long words too, and colored only at its level", () => {
    const text = formatFindings([finding(`${"word ".repeat(40)}${"x".repeat(200)}`)]);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(paintFindings(text).replaceAll(/\u001b\[[0-9;]*m/g, "")).toBe(text);
    expect(paintFindings("  problem  x: y")).toMatch(/^\u001b\[1;31m {2}problem \u001b\[0m/);
  });
});

describe("the clock", () => {
  test("far behind the ledger is a problem, a little behind a note, in step ok", async () => {
    const { data } = await useLicensedHost([identityService]);
    const ledger = await openHostLedger(data, await openHostKey(data.hostDir));
    ledger.close();
    const levelAt = async (behindMs: number) => {
      const around = { ...realSurroundings(), now: new Date(Date.now() - behindMs) };
      const [clock] = await examineRecords({ data, configFile: undefined, edge, around });
      return find(clock!, "ledger");
    };
    expect(await levelAt(0)).toMatchObject({ level: "ok" });
    expect(await levelAt(3_600_000)).toMatchObject({ level: "note" });
    expect(await levelAt(2 * 86_400_000)).toMatchObject({
      level: "problem",
      found: expect.stringMatching(/^CLOCK_SET_BACK/),
    });
  });
});

test("an area that cannot be examined hides no other", async () => {
  const { data, around } = useSystem();
  writeFileSync(data.root, "a file in the place of a directory");
  const findings = await examine({ data, edge, around });
  expect(findings.find(({ check }) => check === "data directory")?.level).toBe("problem");
  expect(new Set(findings.map(({ area }) => area)).size).toBe(14);
});

test("a data directory that nobody may enter is told, not thrown", async () => {
  const { data, around } = useSystem();
  mkdirSync(join(data.root, "host"), { recursive: true });
  chmodSync(data.root, 0);
  const findings = await examine({ data, edge, around });
  expect(findings.filter(({ level }) => level === "problem").length).toBeGreaterThan(0);
});
