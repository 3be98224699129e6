import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { descendantsOf } from "../test/helpers/processes.ts";
import { type BenchHost, freePort, type RunningProcess, root, startProcess } from "./host.ts";

/** A server that answers ModelInfer of the model "identity", in processes of its own. */
export interface BenchServer {
  readonly name: string;
  readonly address: string;
  /** Of all its processes. */
  readonly pids: readonly number[];
  /** What the load needs to be let in. */
  readonly loadOptions: readonly string[];
  stop(): Promise<void>;
}

export interface BenchServerKind {
  readonly name: string;
  /** Why it cannot be measured here, or null. */
  missing(): string | null;
  start(): Promise<BenchServer>;
}

const built = (name: string) => join(root, "build", "bench", name);
export const python = join(root, "build", "bench", "python", "bin", "python");
const needsPython = () => (existsSync(python) ? null : "Python's packages are not there; see bench/README.md");

/** `signet serve` with everything on: license, ledger, access, second authorization, run log, sandbox. */
export function signetServer(name: string, host: BenchHost): BenchServerKind {
  return {
    name,
    missing: () => null,
    start: async () => {
      const serve = [
        "src/cli/main.ts",
        "--data",
        host.data,
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
      ];
      const running = await startProcess(process.execPath, ["--disable-sigusr1", ...serve]);
      return serverOf(name, running, ["--token", host.token]);
    },
  };
}

/** The C++ peer; `--plugin` lets it call the same plugin in its own process. */
export function cppServer(name: string, args: readonly string[] = []): BenchServerKind {
  return {
    name,
    missing: () => (existsSync(built("signet_bench_peer")) ? null : "the C++ peer is not built; see bench/README.md"),
    start: async () => serverOf(name, await startProcess(built("signet_bench_peer"), args)),
  };
}

export const aioServer: BenchServerKind = {
  name: "grpc.aio",
  missing: needsPython,
  start: async () => serverOf("grpc.aio", await startProcess(python, [join(root, "bench", "peers", "aio.py")])),
};

export const tritonServer: BenchServerKind = {
  name: "triton",
  missing: () => needsPython() ?? (hasPyTriton() ? null : "PyTriton is not installed; see bench/README.md"),
  start: async () => {
    const ports = [await freePort(), await freePort(), await freePort()];
    const script = join(root, "bench", "peers", "triton.py");
    return serverOf("triton", await startProcess(python, [script, ...ports.map(String)]));
  },
};

function hasPyTriton(): boolean {
  const libraries = join(root, "build", "bench", "python", "lib");
  return readdirSync(libraries).some((version) => existsSync(join(libraries, version, "site-packages", "pytriton")));
}

function serverOf(name: string, running: RunningProcess, loadOptions: readonly string[] = []): BenchServer {
  return {
    name,
    address: running.address,
    pids: [running.pid, ...descendantsOf(running.pid)],
    loadOptions,
    stop: running.stop,
  };
}
