import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");
const environment = join(root, "build", "python-clients");

export type PythonClients = { readonly python: string } | { readonly missing: string };

/**
 * A Python with unmodified clients from PyPI, in build/python-clients, which is made where it is not there. Where there
 * is no Python or no PyPI, says so.
 */
export async function pythonClients(requirementsFile: string): Promise<PythonClients> {
  const python = join(environment, "bin", "python");
  const ready = join(environment, "ready.txt");
  const requirements = readFileSync(requirementsFile, "utf8");
  if (existsSync(ready) && readFileSync(ready, "utf8") === requirements) return { python };
  rmSync(environment, { recursive: true, force: true });
  mkdirSync(join(root, "build"), { recursive: true });
  try {
    await run("python3", ["-m", "venv", environment]);
  } catch (error) {
    return { missing: `python3 with venv: ${lastLine(error)}` };
  }
  try {
    await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirementsFile]);
  } catch (error) {
    return { missing: `packages from PyPI: ${lastLine(error)}` };
  }
  writeFileSync(ready, requirements);
  return { python };
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
