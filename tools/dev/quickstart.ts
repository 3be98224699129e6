import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * The whole story on one machine, as a vendor, an operator and a client would live it: every line shown is a
 * command you can type yourself. Everything it makes lies in .quickstart/ and is made anew each time.
 */

const root = dirname(dirname(import.meta.dirname));
const place = join(root, ".quickstart");
const bundle = join(place, "bundle");
const samples = join(root, "examples", "text-lines");
const INDENT = "  ";
const environment: NodeJS.ProcessEnv & { SIGNET_DATA: string } = {
  ...process.env,
  SIGNET_DATA: join(place, "data"),
  // The programs see no terminal, and lay out what is shown here for the one that there is.
  COLUMNS: `${(process.stdout.columns ?? 80) - INDENT.length}`,
};
const pictures = [
  "plain-sans.png",
  "large.png",
  "low-contrast.png",
  "noisy.png",
  "upside-down.png",
  "white-on-black.png",
];

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
}

const startedMs = performance.now();

function title(text: string): void {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`\n\u001b[1m${text}\u001b[0m  (${seconds} s)`);
}

/** What the command must do for the story to go on: succeed, or fail with this code. */
type Expectation = "success" | "unreadable" | { readonly code: string };

/** Runs one of our programs, showing the command and what it prints. Ends the story if that is not as expected. */
function run(program: "signet" | "signet-license", args: string[], expected: Expectation = "success"): Outcome {
  console.log(`\u001b[36m$ bin/${program} ${args.map(shortened).map(quoted).join(" ")}\u001b[0m`);
  const { stdout, stderr, status } = spawnSync(join(root, "bin", program), args, {
    cwd: root,
    env: environment,
    encoding: "utf8",
  });
  for (const line of `${stdout}${stderr}`.split("\n")) if (line !== "") console.log(`${INDENT}${shortened(line)}`);
  const wanted = typeof expected === "string" ? expected : expected.code;
  const isExpected =
    expected === "success"
      ? status === 0
      : status !== 0 && stderr.includes(expected === "unreadable" ? "no text could be read" : `: ${expected.code}: `);
  if (!isExpected) {
    console.error(`\nquickstart: expected ${wanted}, found exit status ${status}. The files are in .quickstart/.`);
    server?.kill("SIGTERM");
    process.exit(1);
  }
  return { stdout, stderr };
}

/** Paths as you would type them from the clone. */
function shortened(text: string): string {
  return text.replaceAll(`${root}/`, "");
}

function quoted(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`;
}

/** Sets a variable for the commands that follow, and shows the line that does the same in your shell. */
function exportVariable(name: string, value: string): void {
  environment[name] = value;
  console.log(`\u001b[36m$ export ${name}=${value.replace(`${root}/`, "$PWD/")}\u001b[0m`);
}

let server: ChildProcess | undefined;

/** Starts the server in the background and resolves with its address once it serves. */
async function serve(): Promise<string> {
  const logFile = join(place, "server.log");
  const args = ["serve", "--listen", "127.0.0.1:0", "--log-format", "pretty"];
  console.log(`\u001b[36m$ bin/signet ${args.join(" ")} 2> ${shortened(logFile)} &\u001b[0m`);
  const log = openSync(logFile, "w");
  server = spawn(join(root, "bin", "signet"), args, {
    cwd: root,
    env: environment,
    stdio: ["ignore", "ignore", log],
  });
  let shown = 0;
  while (server.exitCode === null) {
    const lines = readFileSync(logFile, "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(shown)) {
      console.log(`${INDENT}${line}`);
      const address = / INFO: serving address=(\S+)/.exec(line)?.[1];
      if (address !== undefined) return address;
    }
    shown = lines.length;
    await sleep(50);
  }
  console.error(readFileSync(logFile, "utf8"));
  process.exit(1);
}

async function stopServer(): Promise<void> {
  const ended = new Promise((resolve) => server!.once("exit", resolve));
  server!.kill("SIGTERM");
  await ended;
}

/** Changes one byte in the middle of a file, in place. */
function changeOneByte(path: string): void {
  const fd = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, 4096);
  byte[0]! ^= 1;
  writeSync(fd, byte, 0, 1, 4096);
}

rmSync(place, { recursive: true, force: true });
mkdirSync(place, { mode: 0o700 });
const passphrase = join(place, "passphrase");
writeFileSync(passphrase, randomBytes(24).toString("base64url"), { mode: 0o600 });

title("1. The vendor makes keys");
const vendor = join(place, "vendor");
run("signet-license", ["vendor", "init", "--name", "ACME Vision", "--out", vendor, "--passphrase-file", passphrase]);

title("2. The operator asks for a license for this very host");
exportVariable("SIGNET_DATA", environment.SIGNET_DATA);
run("signet", ["host", "request", "--out", join(place, "host.req")]);

title("3. The vendor issues it: services, files, limits, bound to that host");
const description = join(root, "examples", "text-recognizer", "services.yaml");
run("signet-license", [
  ...["issue", "--request", join(place, "host.req"), "--services", description],
  ...["--vendor", vendor, "--out", bundle, "--passphrase-file", passphrase],
  // Virtual machines show little hardware; a vendor decides whether the host key is enough.
  "--accept-weak",
]);

title("4. The operator trusts the vendor once, and installs");
run("signet", ["trust", "add", join(vendor, "root.pem")]);
run("signet", ["license", "install", bundle]);

title("5. First authorization, then the port opens");
const address = await serve();

title("6. A client reads text from pictures");
const { stdout } = run("signet", ["access", "add", "--name", "quickstart", "--role", "client"]);
exportVariable("SIGNET_TOKEN", stdout.trim());
const infer = (names: string[]) => [
  ...["infer", "text-recognizer", ...names.map((name) => join(samples, name))],
  ...["--server", address],
];
run("signet", infer(pictures));
console.log("  A picture that holds no text is answered honestly:");
run("signet", infer(["pure-noise.png"]), "unreadable");

title("7. The runs left went down");
console.log("  A picture is a run; one whose first answer leaves a doubt is tried upside down too, and costs two.");
// The server settles what was used with its ledger once a second.
await sleep(1500);
run("signet", ["license", "status"]);

title("8. Somebody changes one byte of a library while it serves");
const library = join(environment.SIGNET_DATA, "license", "files", "text-recognizer", "libsignet_onnxruntime.so");
changeOneByte(library);
console.log(`  one byte of ${shortened(library)} is different now`);
run("signet", infer(pictures.slice(0, 1)), { code: "LIBRARY_CHANGED" });

title("9. And with that library the server does not start again");
await stopServer();
run("signet", ["serve"], { code: "LIBRARY_DIGEST_MISMATCH" });

title("Done");
console.log(
  "Everything this made lies in .quickstart/; README.md says how to do each step by hand. To go on from here:",
);
for (const [name, value] of Object.entries({
  SIGNET_DATA: environment.SIGNET_DATA,
  SIGNET_TOKEN: environment.SIGNET_TOKEN!,
}))
  exportVariable(name, value);
for (const line of ["license install .quickstart/bundle", "serve"])
  console.log(`\u001b[36m$ bin/signet ${line}\u001b[0m`);
