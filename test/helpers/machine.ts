import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { nativeProgram } from "./native.ts";

/**
 * A machine in the machine: namespaces with a wall clock, and if wanted a network, of their own. It has the same files
 * and processes. The clock is moved by a library in its own /etc/ld.so.preload, so that no program there is started in
 * an unusual way, and none can tell.
 */
export interface Machine {
  /** What comes before a command that runs there. */
  readonly enter: readonly string[];
  /** Sets its wall clock, also for what runs there, to so much after the real time; negative for before. */
  setClock(ms: number): void;
  /** From now on the kernel says that it was started again, and what is measured by the monotonic clock starts anew. */
  restart(): void;
}

const namespaces = ["--user", "--map-root-user", "--mount"];

/** Why there can be no such machine here, for a test that is skipped; undefined where there can. */
export function whyNoMachine(): string | undefined {
  const mounts = "mount --bind /etc /etc && mount --bind /dev/null /proc/sys/kernel/random/boot_id";
  const attempt = [...namespaces, "--net", "sh", "-c", mounts];
  const { status, stderr, error } = spawnSync("unshare", attempt, { encoding: "utf8" });
  return status === 0 ? undefined : `no namespaces here: ${error?.message ?? stderr.trim()}`;
}

/** @param network `none` for a network namespace with nothing but loopback */
export async function useMachine(network: "shared" | "none" = "shared"): Promise<Machine> {
  // Without spaces in its name, for they end a name in ld.so.preload.
  const directory = mkdtempSync(join(tmpdir(), "signet-machine-"));
  const clock = join(directory, "clock.so");
  const bootId = join(directory, "boot_id");
  const setClock = (ms: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(ms)));
    writeFileSync(`${clock}.offset`, bytes, { flag: "r+" });
  };
  const restart = () => writeFileSync(bootId, `${randomUUID()}\n`);

  copyFileSync(nativeProgram("libtest_clock.so"), clock);
  writeFileSync(`${clock}.offset`, Buffer.alloc(8));
  restart();
  // What this user may not read there, no program that it starts needs.
  spawnSync("cp", ["-a", "/etc", directory], { stdio: "ignore" });
  writeFileSync(join(directory, "etc", "ld.so.preload"), `${clock}\n`);

  // Programs that look a name up there ask somebody, so that it shows; the address is kept for examples (RFC 5737).
  if (network === "none") writeFileSync(join(directory, "etc", "resolv.conf"), "nameserver 192.0.2.53\n");
  const networks = network === "none" ? ["--net"] : [];
  const set = [
    `mount --bind '${directory}/etc' /etc`,
    `mount --bind '${bootId}' /proc/sys/kernel/random/boot_id`,
    ...(network === "none" ? [`'${nativeProgram("loopback_up")}'`] : []),
    "echo ready && exec cat",
  ];
  // It lives as long as its standard input, which is this process's at most.
  const holder = spawn("unshare", [...namespaces, ...networks, "sh", "-c", set.join(" && ")], { stdio: "pipe" });
  onTestFinished(async () => {
    holder.kill("SIGKILL");
    if (holder.exitCode === null && holder.signalCode === null) await once(holder, "exit");
    rmSync(directory, { recursive: true, force: true });
  });
  let complaint = "";
  holder.stderr.on("data", (text) => {
    complaint += text;
  });
  const [ready] = await Promise.race([once(holder.stdout, "data"), once(holder, "exit")]);
  if (String(ready) !== "ready\n") throw new Error(`no machine in the machine: ${complaint}`);
  const enter = ["nsenter", "--target", `${holder.pid}`, "--user", "--mount", ...networks];
  return { enter: [...enter, "--preserve-credentials", "--"], setClock, restart };
}

/** What the kernel has counted in a machine's network, such as `Ip` `OutNoRoutes`. */
export function networkCounter({ enter }: Machine, protocol: string, counter: string): number {
  const [program, ...args] = enter;
  const lines = execFileSync(program!, [...args, "cat", "/proc/net/snmp"], { encoding: "utf8" }).split("\n");
  const [names, values] = lines.filter((line) => line.startsWith(`${protocol}: `)).map((line) => line.split(" "));
  return Number(values![names!.indexOf(counter)]);
}
