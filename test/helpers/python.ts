import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");

export type PythonClients = { readonly python: string } | { readonly missing: string };

/** A Python with unmodified clients from PyPI, in build/python-clients. */
export function pythonClients(requirementsFile: string): Promise<PythonClients> {
  return pythonEnvironment("python-clients", requirementsFile);
}

/** Makes an environment, unless it has just these packages already. */
const MAKE_ENVIRONMENT = `
  requirements=$1 environment=$2; shift 2
  cmp -s "$requirements" "$environment/ready.txt" && exit 0
  rm -rf "$environment"
  python3 -m venv "$environment" &&
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -r "$requirements" &&
  cp "$requirements" "$environment/ready.txt"`;

/**
 * A Python with packages from PyPI, in a folder of build/ which is made where it is not there; of test files that need
 * it at the same time, one makes it. Where there is no Python or no PyPI, says so.
 */
export async function pythonEnvironment(
  name: string,
  requirementsFile: string,
  pipFlags: readonly string[] = [],
): Promise<PythonClients> {
  const environment = join(root, "build", name);
  mkdirSync(join(root, "build"), { recursive: true });
  const args = [requirementsFile, environment, ...pipFlags];
  try {
    await run("flock", [`${environment}.lock`, "sh", "-c", MAKE_ENVIRONMENT, "sh", ...args]);
    return { python: join(environment, "bin", "python") };
  } catch (error) {
    return { missing: `Python with venv and packages from PyPI: ${lastLine(error)}` };
  }
}

/** Runs a script to its end. Rejects with all it said where it fails. */
export async function runPython(python: string, script: string, args: readonly string[]): Promise<string[]> {
  try {
    const { stdout } = await run(python, [script, ...args], { timeout: 100_000 });
    return stdout.trim().split("\n");
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${stdout}\n${stderr}`);
  }
}

function lastLine(error: unknown): string {
  const { stderr = "", message } = error as { stderr?: string; message: string };
  return stderr.trim().split("\n").at(-1) || message;
}
