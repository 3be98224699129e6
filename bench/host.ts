import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { dataDirectory } from "../src/config/index.ts";

export const root = dirname(import.meta.dirname);

/** An entry of services.yaml. */
export interface ServiceDescription {
  readonly name: string;
  readonly library: string;
  readonly [field: string]: unknown;
}

/** This machine licensed for some services by the real programs, in a directory that `remove` deletes. */
export interface BenchHost {
  readonly data: string;
  readonly token: string;
  remove(): void;
}

/** @param config what its operator has configured */
export function createBenchHost(services: readonly ServiceDescription[], config: object = {}): BenchHost {
  const place = mkdtempSync(join(tmpdir(), "signet-bench-"));
  const env = {
    ...process.env,
    SIGNET_DATA: join(place, "data"),
    SIGNET_PASSPHRASE: randomBytes(24).toString("base64url"),
  };
  const run = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(join(root, "bin", program), args, { env, encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} ${args[0]}: ${stderr}`);
    return stdout;
  };
  const description = join(place, "services.yaml");
  writeFileSync(description, JSON.stringify({ customer: "Bench", license: { validDays: 1 }, services }));
  run("signet-license", "vendor", "init", "--name", "Bench", "--out", join(place, "vendor"));
  run("signet", "host", "request", "--out", join(place, "host.req"));
  const issue = ["--request", join(place, "host.req"), "--services", description, "--vendor", join(place, "vendor")];
  run("signet-license", "issue", ...issue, "--out", join(place, "bundle"), "--accept-weak");
  run("signet", "trust", "add", join(place, "vendor", "root.pem"));
  run("signet", "license", "install", join(place, "bundle"));
  // Metrics are on, as everything is that an operator would have on.
  const whole = { metrics: { listen: "127.0.0.1:0" }, ...config };
  writeFileSync(dataDirectory(join(place, "data")).configFile, JSON.stringify(whole));
  const { token } = JSON.parse(run("signet", "access", "add", "--name", "bench", "--role", "client", "--json"));
  return { data: join(place, "data"), token, remove: () => rmSync(place, { recursive: true, force: true }) };
}

export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  remove(): void;
}

/** Files of certificates for 127.0.0.1, made by the real program. */
export function createCertificates(): Certificates {
  const place = mkdtempSync(join(tmpdir(), "signet-bench-tls-"));
  const init = ["certs", "init", "--dir", place, "--name", "127.0.0.1"];
  const env = { ...process.env, SIGNET_DATA: place };
  const { status, stderr } = spawnSync(join(root, "bin", "signet"), init, { env, encoding: "utf8" });
  if (status !== 0) throw new Error(`signet certs init: ${stderr}`);
  const [ca, cert, key] = ["ca.crt", "server.crt", "server.key"].map((name) => join(place, name));
  return { ca: ca!, cert: cert!, key: key!, remove: () => rmSync(place, { recursive: true, force: true }) };
}

export interface RunningProcess {
  readonly address: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a server as a process of its own and resolves when it prints, as a line of JSON, that it is serving. */
export function startProcess(program: string, args: readonly string[]): Promise<RunningProcess> {
  const child: ChildProcess = spawn(program, args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = () => {
    child.kill("SIGTERM");
    return ended;
  };
  return new Promise((resolve, reject) => {
    let text = "";
    // Goes on reading for as long as the process lives, or its log would fill the pipe.
    createInterface({ input: child.stderr! }).on("line", (line) => {
      if (line.startsWith("{") && line.includes('"serving"')) {
        resolve({ address: JSON.parse(line).address, pid: child.pid!, stop });
      }
      text = `${text}${line}\n`.slice(-2000);
    });
    child.once("error", reject);
    void ended.then(() => reject(new Error(`${program} ${args.join(" ")} ended before it served: ${text}`)));
  });
}

/** A port that nobody uses at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** CPU time a process has used so far, all threads, in microseconds. The kernel counts in steps of 10 ms. */
export function cpuTimeUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
