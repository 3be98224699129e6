import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..", "build", "debian");

export type DebianPackage = { readonly directory: string } | { readonly missing: string };

/**
 * The files of a Debian package in build/debian, fetched where they are not there. They are not installed, so nothing of
 * the machine changes and no service starts. Where there is no apt, or the package cannot be had, says so.
 */
export async function debianPackage(name: string): Promise<DebianPackage> {
  const directory = join(root, name);
  if (existsSync(directory)) return { directory };
  mkdirSync(root, { recursive: true });
  const work = mkdtempSync(join(root, ".fetching-"));
  const download = () => run("apt-get", ["download", name], { cwd: work });
  try {
    // The lists of packages may never have been read, or be too old for what the archive has.
    await download().catch(() => run("apt-get", ["update"]).then(download));
    await run("sh", ["-c", "mkdir files && dpkg-deb -x ./*.deb files"], { cwd: work });
    renameSync(join(work, "files"), directory);
    return { directory };
  } catch (error) {
    if (existsSync(directory)) return { directory }; // another test file was quicker
    const { stderr = "", message } = error as { stderr?: string; message: string };
    return { missing: `${name} of Debian: ${stderr.trim().split("\n").at(-1) || message}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
