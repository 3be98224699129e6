import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { useHost } from "../../tools/license/desk.fixture.ts";

const root = join(import.meta.dirname, "..", "..");
const program = join(root, "bin", "signet-license");
const env = { ...process.env, SIGNET_PASSPHRASE: "correct horse battery staple" };

function useDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signet-cli-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function run(args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; command?: string } = {}) {
  const { command = program, ...rest } = options;
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env, input: "", ...rest });
  return { status, stdout, stderr };
}

test("every command of the guide runs, in its order", async () => {
  const clone = useDirectory();
  // The guide's paths lead from desk/ into the clone, so this is a clone made of links.
  for (const name of ["build", "node_modules"]) symlinkSync(join(root, name), join(clone, name));
  mkdirSync(join(clone, "bin"));
  writeFileSync(join(clone, "bin", "signet-license"), `#!/bin/sh\nexec "${program}" "$@"\n`);
  chmodSync(join(clone, "bin", "signet-license"), 0o755);
  const desk = join(clone, "desk");
  mkdirSync(desk);
  writeFileSync(join(desk, "host.req"), (await useHost()).request);
  const guide = readFileSync(join(root, "docs", "guides", "issue-a-license.md"), "utf8");
  const blocks = [...guide.matchAll(/^```(sh|yaml)\n(.*?)^```$/gms)].map(([, kind, text]) => ({ kind, text: text! }));
  expect(blocks.filter(({ kind }) => kind === "sh").length).toBeGreaterThanOrEqual(5);
  let output = "";
  for (const { kind, text } of blocks) {
    if (kind === "yaml") writeFileSync(join(desk, "services.yaml"), text);
    else
      output += execFileSync("sh", ["-euc", text], {
        cwd: desk,
        env,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
  }
  expect(output).toContain("whom the given root vouches for");
  expect(output).toContain("sequence 2");
});

test("the program is found through links and prints data to stdout, talk to stderr", () => {
  const directory = useDirectory();
  symlinkSync(program, join(directory, "one"));
  symlinkSync("one", join(directory, "two"));
  const made = run(["vendor", "init", "--name", "ACME", "--out", "acme", "--json"], {
    cwd: directory,
    command: join(directory, "two"),
  });
  expect(made.status).toBe(0);
  expect(JSON.parse(made.stdout)).toMatchObject({ name: "ACME", rootKeyId: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(made.stderr).toContain("root.key offline");
  const shown = run(["inspect", "acme/root.pem", "--json"], { cwd: directory });
  expect(JSON.parse(shown.stdout)).toMatchObject({ kind: "certificate", document: { role: "root", weakness: null } });
});

test("a register that is not there is not said to have no such line, and a mistyped head to be tampering", () => {
  const directory = useDirectory();
  expect(run(["vendor", "init", "--name", "ACME", "--out", "acme"], { cwd: directory }).status).toBe(0);
  const register = (...words: string[]) => run(["register", ...words, "--vendor", "acme"], { cwd: directory });
  expect(register("show")).toMatchObject({
    status: 0,
    stdout: "",
    stderr: expect.stringContaining("register rebuild"),
  });
  expect(register("verify", "--head", "1234")).toMatchObject({ status: 2, stderr: expect.stringContaining("--head") });
});

test.each([
  ["an unknown command", ["forge"], 2, "USAGE"],
  ["a missing option", ["issue"], 2, "USAGE"],
  ["an unknown option", ["inspect", "--no-such", "x"], 2, "USAGE"],
  ["an empty vendor name", ["vendor", "init", "--name", " ", "--out", "x"], 2, "USAGE"],
  ["a name that would draw on the terminal", ["vendor", "init", "--name", "a\u001b[2Jb", "--out", "x"], 2, "USAGE"],
  ["a file that is not there", ["inspect", "nothing"], 2, "FILE_UNREADABLE"],
  ["a device", ["inspect", "/dev/zero"], 2, "FILE_UNREADABLE"],
  [
    "a directory in one that is not there",
    ["vendor", "init", "--name", "A", "--out", "no/where"],
    2,
    "FILE_UNREADABLE",
  ],
  ["a directory that is there", ["vendor", "init", "--name", "A", "--out", "."], 2, "FILE_EXISTS"],
])("%s is one line on stderr with its code", (_, args, status, code) => {
  const result = run(args, { cwd: useDirectory() });
  expect(result.stdout).toBe("");
  expect(result.stderr).toMatch(new RegExp(`^signet-license: ${code}: [^\\n]+\\n$`));
  expect(result.status).toBe(status);
});

test("without a terminal, file or variable there is no passphrase, and an empty or short one is refused", () => {
  const directory = useDirectory();
  writeFileSync(join(directory, "empty"), "\n");
  const { SIGNET_PASSPHRASE: _, ...bare } = env;
  const init = ["vendor", "init", "--name", "A", "--out", "acme"];
  for (const result of [
    run(init, { cwd: directory, env: bare }),
    run(init, { cwd: directory, env: { ...env, SIGNET_PASSPHRASE: "" } }),
    run(init, { cwd: directory, env: { ...env, SIGNET_PASSPHRASE: "short" } }),
    run([...init, "--passphrase-file", "empty"], { cwd: directory }),
  ]) {
    expect(result.stderr).toMatch(/^signet-license: USAGE: /);
    expect(result.status).toBe(2);
  }
});

test("issue looks at the request and where the bundle goes before it asks for a passphrase", async () => {
  const directory = useDirectory();
  const { SIGNET_PASSPHRASE: _, ...bare } = env;
  const issue = (request: Buffer, out = "bundle") => {
    writeFileSync(join(directory, "host.req"), request);
    const places = ["--request", "host.req", "--services", "services.yaml", "--vendor", "acme", "--out", out];
    return run(["issue", ...places], { cwd: directory, env: bare }).stderr;
  };
  writeFileSync(
    join(directory, "services.yaml"),
    "customer: A\nlicense: { validDays: 1 }\nservices: [{ name: a, library: b }]",
  );
  expect(issue((await useHost({ weak: true })).request)).toMatch(/^signet-license: HOST_WEAK: host\.req: /);
  expect(issue(Buffer.from("\x89PNG"))).toMatch(/^signet-license: REQUEST_INVALID: host\.req: /);
  expect(issue((await useHost()).request, ".")).toMatch(/^signet-license: FILE_EXISTS: /);
  expect(issue((await useHost()).request)).toMatch(/^signet-license: USAGE: a passphrase is needed/);
});

test("a damaged request is refused with exit code 3", async () => {
  const directory = useDirectory();
  writeFileSync(
    join(directory, "host.req"),
    (await useHost()).request.toString().replace(/(?<=\n[^\n]{8}).{4}/, "AAAA"),
  );
  const result = run(["inspect", "host.req"], { cwd: directory });
  expect(result.stderr).toMatch(/^signet-license: REQUEST_INVALID: /);
  expect(result.status).toBe(3);
});
