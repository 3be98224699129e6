import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import { useDirectory } from "../helpers/crooked.ts";

/** The programs as somebody starts them whose PATH has programs of somebody else first. */

const attack = attacksOn("the start of the server");
const root = join(import.meta.dirname, "..", "..");

/** What could be asked about a machine, what a launcher could use, and Node itself. */
const names = ["lsblk", "dmidecode", "nvidia-smi", "smartctl", "lspci", "ip", "ifconfig", "hostname", "cat", "uname"];
const tools = ["sh", "env", "readlink", "dirname", "pwd", "node", "npm", "bwrap", "openssl", "udevadm"];

/** A directory of programs that say that they ran and then lie, or nothing. */
function usePlanted(): { path: string; ran: () => string[] } {
  const [programs, marks] = [useDirectory(), useDirectory()];
  for (const name of [...names, ...tools]) {
    const file = join(programs, name);
    writeFileSync(file, `#!/bin/sh\n: > "${marks}/${name}"\necho EVIL\n`);
    chmodSync(file, 0o755);
  }
  return { path: `${programs}:/usr/bin:/bin`, ran: () => readdirSync(marks) };
}

function run(program: string, words: readonly string[], path: string) {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8", env: { PATH: path } });
  return { status, stdout, stderr };
}

test("a planted program is one: it runs where it is asked for by its name", () => {
  const { path, ran } = usePlanted();
  expect(run("/bin/sh", ["-c", "lsblk"], path).stdout).toBe("EVIL\n");
  expect(ran()).toEqual(["lsblk"]);
});

for (const program of ["signet", "signet-license"]) {
  test(
    `${program} is started by a link, and runs none of them`,
    attack(`has ${program} run a program of his own`, "readlink, dirname and node first in PATH, bin/ by a link"),
    () => {
      const { path, ran } = usePlanted();
      const link = join(useDirectory(), basename(program));
      symlinkSync(join(root, "bin", program), link);
      expect(run(link, ["--version"], path)).toMatchObject({ status: 0, stderr: "" });
      expect(ran()).toEqual([]);
      observed(`none of ${names.length + tools.length} planted programs ran`);
    },
  );
}

test(
  "signet host show reads the same machine, and runs none of them",
  attack("lies about the hardware by a program", "lsblk, dmidecode, nvidia-smi … first in PATH, signet host show"),
  () => {
    const { path, ran } = usePlanted();
    const show = (where: string) =>
      run(join(root, "bin", "signet"), ["host", "show", "--json", "--data", useDirectory()], where);
    const shown = show(path);
    expect(shown).toMatchObject({ status: 0 });
    expect(shown.stdout).toBe(show("/usr/bin:/bin").stdout);
    expect(shown.stdout).not.toContain("EVIL");
    expect(ran()).toEqual([]);
    observed(`the same answer, none of ${names.length + tools.length} planted programs ran`);
  },
);
