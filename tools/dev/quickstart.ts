import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * The whole story on one machine, as a vendor, an operator and a client would live it: every line shown is a
 * command you can type yourself. Everything it makes lies in .quickstart/ and is made anew each time.
 */

const root = dirname(dirname(import.meta.dirname));
const place = join(root, ".quickstart");
const bundle = join(place, "bundle");
const samples = join(root, "examples", "text-lines");
const environment: NodeJS.ProcessEnv & { SIGNET_DATA: string } = { ...process.env, SIGNET_DATA: join(place, "data") };
const pictures = ["clear-sans.png"];

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

const startedMs = performance.now();

function title(text: string): void {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`\n\u001b[1m${text}\u001b[0m  (${seconds} s)`);
}

/** Runs one of our programs, showing the command and what it prints. Ends the story if it was to succeed and did not. */
function run(
  program: "signet" | "signet-license",
  args: string[],
  expect: "success" | "refusal" | "any" = "success",
): Outcome {
  const shown = args.map((arg) => (arg.startsWith(root) ? relative(root, arg) : arg)).map(quoted);
  console.log(`\u001b[36m$ bin/${program} ${shown.join(" ")}\u001b[0m`);
  const result = spawnSync(join(root, "bin", program), args, { cwd: root, env: environment, encoding: "utf8" });
  for (const line of `${result.stdout}${result.stderr}`.split("\n")) if (line !== "") console.log(`  ${line}`);
  const succeeded = result.status === 0;
  if ((expect === "success" && !succeeded) || (expect === "refusal" && succeeded)) {
    console.error(
      `\nExpected ${expect}, found exit status ${result.status}. The files are in ${relative(process.cwd(), place)}.`,
    );
    server?.kill("SIGTERM");
    process.exit(1);
  }
  return result;
}

function quoted(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`;
}

let server: ChildProcess | undefined;

/** Starts the server in the background and resolves with its address once it serves. */
async function serve(): Promise<string> {
  const logFile = join(place, "server.log");
  console.log(`\u001b[36m$ bin/signet serve --listen 127.0.0.1:0 2> ${relative(root, logFile)} &\u001b[0m`);
  const log = openSync(logFile, "w");
  server = spawn(join(root, "bin", "signet"), ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"], {
    cwd: root,
    env: environment,
    stdio: ["ignore", "ignore", log],
  });
  let shown = 0;
  while (server.exitCode === null) {
    const lines = readFileSync(logFile, "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(shown)) {
      const { time, level, msg, ...rest } = JSON.parse(line);
      console.log(`  ${time.slice(11, 23)} ${level} ${msg} ${JSON.stringify(rest)}`);
      if (msg === "serving") return rest.address;
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
const { stdout } = run("signet", ["access", "add", "--name", "quickstart", "--role", "client", "--json"]);
environment.SIGNET_TOKEN = JSON.parse(stdout).token;
run("signet", ["infer", "text-recognizer", ...pictures.map((name) => join(samples, name)), "--server", address], "any");

title("7. Runs were charged");
run("signet", ["license", "status"]);

title("8. Somebody changes one byte of a library while it serves");
const library = join(environment.SIGNET_DATA, "license", "files", "text-recognizer", "libsignet_onnxruntime.so");
changeOneByte(library);
console.log(`  one byte of ${relative(root, library)} is different now`);
run("signet", ["infer", "text-recognizer", join(samples, pictures[0]!), "--server", address], "refusal");
await stopServer();
run("signet", ["serve"], "refusal");

title("Done");
console.log(`Everything lies in ${relative(process.cwd(), place)}. Next: README.md.`);
