import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import { useDirectory } from "../helpers/crooked.ts";
import { identityService, useLicensedHost } from "../helpers/licensed-host.ts";
import { nativeLibrary } from "../helpers/native.ts";

const attack = attacksOn("the start of the server");
const attackOnMemory = attacksOn("the server's memory by the same user");

/** The gateway as somebody would start it who wants code of their own in it, or who wants what is in its memory. */

const root = join(import.meta.dirname, "..", "..");
const program = join(root, "src", "cli", "main.ts");

/** A library that says that it was loaded, and removes its traces from the environment. */
function useEvilLibrary(): string {
  const directory = useDirectory();
  const source = join(directory, "evil.c");
  writeFileSync(
    source,
    `#include <stdio.h>
#include <stdlib.h>
unsigned la_version(unsigned version) { return version; }
__attribute__((constructor)) static void begin(void) {
  fprintf(stderr, "evil was loaded\\n");
  unsetenv("LD_PRELOAD");
  unsetenv("LD_AUDIT");
}
`,
  );
  execFileSync("cc", ["-shared", "-fPIC", "-o", join(directory, "evil.so"), source]);
  return join(directory, "evil.so");
}

function useEvilScript(): string {
  const path = join(useDirectory(), "evil.cjs");
  writeFileSync(path, 'process.stderr.write("evil was loaded\\n");\n');
  return path;
}

interface Started {
  readonly err: string;
  readonly exit: number | null;
  readonly code: string | undefined;
}

/** Tries to serve a licensed host; if that succeeds after all, it is ended as soon as its port is open. */
async function serve(words: readonly string[], env: Record<string, string>): Promise<Started> {
  const { data } = await useLicensedHost([identityService]);
  const serving = ["serve", "--data", data.root, "--listen", "127.0.0.1:0", "--log-format", "json"];
  const [command, ...before] = words;
  const child = spawn(command!, [...before, ...serving], { env: { PATH: "/usr/bin:/bin", ...env }, stdio: "pipe" });
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    if (err.includes('"serving"')) child.kill("SIGTERM");
  });
  const [exit] = (await once(child, "close")) as [number | null];
  return { err, exit, code: /^signet: ([A-Z_]+): /m.exec(err)?.[1] };
}

const launcher = [join(root, "bin", "signet")];
const node = [process.execPath, "--disable-sigusr1", program];

async function expectRefused(words: readonly string[], env: Record<string, string>, evilRuns = false) {
  const { err, exit, code } = await serve(words, env);
  expect(err).not.toContain('"serving"');
  // Otherwise the attack was none.
  if (evilRuns) expect(err).toContain("evil was loaded");
  expect({ exit, code }).toEqual({ exit: 2, code: "ENVIRONMENT_UNSAFE" });
  observed("refused before anything was read");
}

describe("attacks on the start of the server", () => {
  test("are attacks: without them it serves", async () => {
    for (const words of [launcher, node]) expect((await serve(words, {})).err).toContain('"serving"');
  });

  test("preloads a library", attack("LD_PRELOAD=evil.so"), () =>
    expectRefused(node, { LD_PRELOAD: useEvilLibrary() }, true),
  );
  test("has a library audit the loader", attack("LD_AUDIT=evil.so"), () =>
    expectRefused(node, { LD_AUDIT: useEvilLibrary() }, true),
  );
  test("puts a directory before the system's libraries", attack("LD_LIBRARY_PATH=/tmp/evil"), () =>
    expectRefused(launcher, { LD_LIBRARY_PATH: useDirectory() }),
  );
  test("preloads a clock that stands still", attack("LD_PRELOAD=libfaketime.so.1"), () =>
    expectRefused(launcher, { LD_PRELOAD: "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1" }),
  );
  test("has Node run a script first", attack("NODE_OPTIONS=--require=evil.cjs"), () =>
    expectRefused(launcher, { NODE_OPTIONS: `--require=${useEvilScript()}` }, true),
  );
  test("has Node open a debugger", attack("NODE_OPTIONS=--inspect"), () =>
    expectRefused(launcher, { NODE_OPTIONS: "--inspect=127.0.0.1:0" }),
  );
  test("gives Node other packages", attack("NODE_PATH=/tmp/evil"), () =>
    expectRefused(launcher, { NODE_PATH: useDirectory() }),
  );
  test("gives Node compiled code", attack("NODE_COMPILE_CACHE=/tmp/evil"), () =>
    expectRefused(launcher, { NODE_COMPILE_CACHE: useDirectory() }),
  );
  test("replaces what Node's prompt runs", attack("NODE_REPL_EXTERNAL_MODULE=evil.cjs"), () =>
    expectRefused(launcher, { NODE_REPL_EXTERNAL_MODULE: useEvilScript() }),
  );
  test("has OpenSSL load a provider", attack("OPENSSL_CONF=evil.cnf"), () => {
    const conf = join(useDirectory(), "evil.cnf");
    // Beside OpenSSL's own provider, without which Node does not start at all.
    const providers = `[p]\ndefault = d\nevil = e\n[d]\nactivate = 1\n[e]\nmodule = ${useEvilLibrary()}\nactivate = 1\n`;
    writeFileSync(conf, `nodejs_conf = n\n[n]\nproviders = p\n${providers}`);
    return expectRefused(launcher, { OPENSSL_CONF: conf }, true);
  });
  test("debugs from the first line", attack("node --inspect"), () =>
    expectRefused([process.execPath, "--disable-sigusr1", "--inspect=127.0.0.1:0", program], {}),
  );
  test("runs a script before the server", attack("node --require=evil.cjs"), () =>
    expectRefused([process.execPath, "--disable-sigusr1", `--require=${useEvilScript()}`, program], {}, true),
  );
  test("imports a module before the server", attack("node --import=evil.cjs"), () =>
    expectRefused([process.execPath, "--disable-sigusr1", `--import=${useEvilScript()}`, program], {}, true),
  );
  test("starts it so that a signal opens a debugger", attack("node, without --disable-sigusr1"), () =>
    expectRefused([process.execPath, program], {}),
  );
});

/**
 * Words before a command that take its capabilities away, where there are any: root may read every memory, so that
 * only without them it shows who else may.
 */
const unprivileged =
  process.getuid!() === 0 ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"] : [];

function attemptUnprivileged(...command: string[]): { status: number | null; err: string } {
  const [first, ...words] = [...unprivileged, ...command];
  const { status, stderr } = spawnSync(first!, words, { encoding: "utf8" });
  return { status, err: stderr };
}

/** Another process of the user, which protects nothing. */
function useBystander(): { pid: number } {
  const [first, ...words] = [...unprivileged, "sleep", "1000"];
  const child = spawn(first!, words, { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return { pid: child.pid! };
}

/** A program that attaches to a process as debuggers do, and says what the kernel answered. */
function useDebugger(): string {
  const directory = useDirectory();
  const source = join(directory, "attach.c");
  writeFileSync(
    source,
    `#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
int main(int count, char **words) {
  pid_t pid = count > 1 ? atoi(words[1]) : 0;
  if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) {
    waitpid(pid, 0, 0);
    return 0;
  }
  fputs(errno == EPERM ? "EPERM" : "another error", stderr);
  return 1;
}
`,
  );
  execFileSync("cc", ["-o", join(directory, "attach"), source]);
  return join(directory, "attach");
}

/** Whether a process has a handler for SIGUSR1, as Node has where a debugger may be opened so. */
function handlesUsr1(pid: number): boolean {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!;
  return (BigInt(`0x${caught}`) & (1n << BigInt(constants.signals.SIGUSR1 - 1))) !== 0n;
}

/** Whether the kernel's Yama module keeps debuggers from all processes but their own children. */
function isPtraceRestricted(): boolean {
  const file = "/proc/sys/kernel/yama/ptrace_scope";
  return existsSync(file) && readFileSync(file, "utf8").trim() !== "0";
}

/** A running server, without capabilities and with a limit for core dumps that allows them. */
async function useRunning(): Promise<{
  pid: number;
  child: number;
  cwd: string;
  err: () => string;
  ended: Promise<unknown[]>;
}> {
  const { data } = await useLicensedHost([identityService]);
  const cwd = useDirectory();
  const serving = ["serve", "--data", data.root, "--listen", "127.0.0.1:0", "--log-format", "json"];
  const shell = ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", ...launcher, ...serving];
  const [first, ...words] = [...unprivileged, ...shell];
  const server = spawn(first!, words, { cwd, env: { PATH: "/usr/bin:/bin" }, stdio: "pipe" });
  onTestFinished(() => {
    server.kill("SIGKILL");
  });
  const ended = once(server, "close");
  let err = "";
  await new Promise<void>((resolve, reject) => {
    server.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
      if (err.includes('"serving"')) resolve();
    });
    void ended.then(() => reject(new Error(err)));
  });
  const children = readdirSync(`/proc/${server.pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${server.pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
  return { pid: server.pid!, child: children[0]!, cwd, err: () => err, ended };
}

describe("attacks on the server's memory by the same user", () => {
  test("are attacks: another process of the user can be read", () => {
    const { pid } = useBystander();
    return expect.poll(() => attemptUnprivileged("head", "-c0", `/proc/${pid}/mem`).status).toBe(0);
  });

  for (const [whose, which] of [
    ["the gateway's", "pid"],
    ["a service host's", "child"],
  ] as const) {
    test(`reads ${whose} memory`, attackOnMemory("open(/proc/PID/mem)"), async () => {
      const server = await useRunning();
      const { status, err } = attemptUnprivileged("head", "-c0", `/proc/${server[which]}/mem`);
      expect(status).not.toBe(0);
      expect(err).toMatch(/Permission denied\n$/);
      observed("refused by the kernel: Permission denied");
    });

    test(`opens ${whose} sealed library`, attackOnMemory("open(/proc/PID/fd/N)"), async () => {
      const server = await useRunning();
      const { status, err } = attemptUnprivileged("head", "-c0", `/proc/${server[which]}/fd/2`);
      expect(status).not.toBe(0);
      expect(err).toMatch(/Permission denied\n$/);
      observed("refused by the kernel: Permission denied");
    });

    test(`has ${whose} memory dumped`, attackOnMemory("ulimit -c unlimited; kill -ABRT"), async () => {
      const server = await useRunning();
      expect(readFileSync(`/proc/${server[which]}/limits`, "utf8")).toMatch(/^Max core file size +0 +0 /m);
      // A pattern for core dumps that names a program gets none either from a process that is not dumpable.
      process.kill(server[which], "SIGABRT");
      if (which === "pid") await server.ended;
      else await expect.poll(() => server.err()).toContain("SIGABRT");
      expect(readdirSync(server.cwd)).toEqual([]);
      observed("no core was written");
    });
  }

  for (const [whose, which] of [
    ["the gateway", "pid"],
    ["a service host", "child"],
  ] as const) {
    test(`attaches to ${whose} as a debugger`, attackOnMemory("ptrace(PTRACE_ATTACH)"), async () => {
      const attach = useDebugger();
      const { pid } = useBystander();
      // Otherwise the attack was none. Some machines let nobody attach to anybody, though.
      if (!isPtraceRestricted()) await expect.poll(() => attemptUnprivileged(attach, String(pid)).status).toBe(0);
      const server = await useRunning();
      const { status, err } = attemptUnprivileged(attach, String(server[which]));
      expect({ status, code: err.trim() }).toEqual({ status: 1, code: "EPERM" });
      observed("refused by the kernel");
    });

    test(`opens a debugger in ${whose} by signal`, attackOnMemory("kill -USR1"), async () => {
      const plain = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
      onTestFinished(() => void plain.kill("SIGKILL"));
      await expect.poll(() => handlesUsr1(plain.pid!)).toBe(true);
      const server = await useRunning();
      expect(handlesUsr1(server[which])).toBe(false);
      process.kill(server[which], "SIGUSR1");
      process.kill(server.pid, "SIGTERM");
      await server.ended;
      expect(server.err()).not.toMatch(/debugger|SIGUSR1/i);
      observed("the signal is ignored");
    });
  }
});

test("libraries are loaded from sealed memory by a user that is not root, with memory protected", async (context) => {
  // The clone may lie where others cannot look, so that it gets another name first; only in this mount name space.
  const place = useDirectory();
  chmodSync(place, 0o755);
  const script = `mount --bind "${root}" "${place}" && cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`;
  const wrapper = process.getuid!() === 0 ? ["unshare", "--mount", "sh", "-c", script, "sh"] : [];
  const home = wrapper.length === 0 ? root : place;
  const ended = spawnSync(
    wrapper[0] ?? process.execPath,
    [
      ...wrapper.slice(1),
      join(home, "node_modules/.bin/node"),
      join(home, "src/cli/main.ts"),
      "plugin",
      "check",
      nativeLibrary("identity").replace(root, home),
    ],
    { encoding: "utf8", env: { PATH: "/usr/bin:/bin", TMPDIR: "/tmp" } },
  );
  if (ended.stderr.startsWith("unshare:")) context.skip(ended.stderr);
  expect(ended.stderr + ended.stdout).toContain("loading from sealed memory");
  expect(ended.status).toBe(0);
});
