import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { descendantsOf } from "../test/helpers/processes.ts";
import { createBenchHost, createCertificates, freePort, root, type ServiceDescription, startProcess } from "./host.ts";

/** A server that answers ModelInfer, in processes of its own. */
export interface BenchServer {
  readonly name: string;
  readonly address: string;
  /** Of all its processes, the one that talks to clients first. */
  readonly pids: readonly number[];
  /** What the load needs to be let in. */
  readonly loadOptions: readonly string[];
  stop(): Promise<void>;
}

export type ServerKind = OwnServer | LoadOnServer;

export interface OwnServer {
  readonly name: string;
  readonly of?: undefined;
  /** Whether its program is compiled while it runs, so that it is slow at first. */
  readonly isCompiledUnderLoad?: true;
  /** Why it cannot be measured here, or null. */
  missing(): string | null;
  start(): Promise<BenchServer>;
}

/** Another load on the processes of a server. */
export interface LoadOnServer {
  readonly name: string;
  readonly of: OwnServer;
  readonly load: readonly string[];
}

const built = (name: string) => join(root, "build", "bench", name);
export const native = (name: string) => join(root, "build", "native", name);
const python = built("python/bin/python");
const needsPython = () => (existsSync(python) ? null : "Python's packages are not there; see bench/README.md");
const missingOf = (file: string) => (existsSync(file) ? null : `${file} is not built; see bench/README.md`);

interface SignetOptions {
  readonly services: readonly ServiceDescription[];
  readonly config?: object;
  readonly tls?: boolean;
  /** For the load. */
  readonly load?: readonly string[];
}

/** `signet serve` with everything on: license, ledger, access, second authorization, run log, sandbox. */
export function signetServer(
  name: string,
  { services, config = {}, tls = false, load = [] }: SignetOptions,
): OwnServer {
  return {
    name,
    isCompiledUnderLoad: true,
    missing: () => services.map(({ library }) => missingOf(library)).find((why) => why !== null) ?? null,
    start: async () => {
      const certificates = tls ? createCertificates() : null;
      const keys = certificates && { tls: { cert: certificates.cert, key: certificates.key } };
      const host = createBenchHost(services, { ...config, ...keys });
      const remove = () => {
        host.remove();
        certificates?.remove();
      };
      const serve = ["--data", host.data, "serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
      const words = ["--disable-sigusr1", "src/cli/main.ts", ...serve];
      const options = ["--token", host.token, ...(certificates ? ["--ca", certificates.ca] : []), ...load];
      return startServer(name, process.execPath, words, options, remove);
    },
  };
}

/** Signet's transport and codec without anything behind them. */
export function inlineServer(name: string): OwnServer {
  const inline = plainServer(name, process.execPath, [join(root, "bench", "peers", "inline.ts")]);
  return { ...inline, isCompiledUnderLoad: true };
}

/** The C++ peer; `--plugin` lets it call a plugin in its own process. */
export function cppServer(name: string, args: readonly string[] = []): OwnServer {
  return plainServer(name, built("signet_bench_peer"), args);
}

export function cppTlsServer(name: string): OwnServer {
  const program = built("signet_bench_peer");
  return {
    name,
    missing: () => missingOf(program),
    start: async () => {
      const { ca, cert, key, remove } = createCertificates();
      return startServer(name, program, ["--cert", cert, "--key", key], ["--ca", ca], remove);
    },
  };
}

export function cppCallbackServer(name: string): OwnServer {
  return plainServer(name, built("signet_bench_callback_peer"), []);
}

export function aioServer(name: string): OwnServer {
  return { ...plainServer(name, python, [join(root, "bench", "peers", "aio.py")]), missing: needsPython };
}

/** @param models an ONNX model that it serves too, as "classifier" */
export function tritonServer(name: string, models: readonly string[] = []): OwnServer {
  const needed = models.length > 0 ? ["pytriton", "onnxruntime"] : ["pytriton"];
  return {
    name,
    missing: () => needsPython() ?? missingPackage(needed),
    start: async () => {
      const ports = [await freePort(), await freePort(), await freePort()];
      const script = join(root, "bench", "peers", "triton.py");
      return startServer(name, python, [script, ...ports.map(String), ...models]);
    },
  };
}

function missingPackage(names: readonly string[]): string | null {
  const libraries = built("python/lib");
  const isThere = (name: string) =>
    readdirSync(libraries).some((version) => existsSync(join(libraries, version, "site-packages", name)));
  const missing = names.find((name) => !isThere(name));
  return missing === undefined ? null : `Python's ${missing} is not installed; see bench/README.md`;
}

function plainServer(name: string, program: string, args: readonly string[]): OwnServer {
  return {
    name,
    missing: () => missingOf(program),
    start: () => startServer(name, program, args),
  };
}

/** @param remove takes away what was made for it, when it has ended */
async function startServer(
  name: string,
  program: string,
  args: readonly string[],
  loadOptions: readonly string[] = [],
  remove: () => void = () => undefined,
): Promise<BenchServer> {
  try {
    const { address, pid, stop } = await startProcess(program, args);
    const pids = [pid, ...descendantsOf(pid)];
    return { name, address, pids, loadOptions, stop: () => stop().finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
}
