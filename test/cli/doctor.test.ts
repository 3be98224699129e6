import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readMachine } from "../../src/license/index.ts";
import type { DoctorFinding } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { type OperatedHost, useBareHost, useDesk } from "../helpers/operator.ts";
import { type Ended, runProgram } from "../helpers/programs.ts";
import { useSignetServe } from "../helpers/signet-process.ts";

const attack = attacksOn("logs and tickets");

const desk = useDesk();
const isRoot = process.getuid?.() === 0;

/** A licensed host on a free port, with a token. */
async function useLicensed(): Promise<OperatedHost & { port: number; token: string }> {
  const host = desk.useHost();
  expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
  const token = host.signet("access", "add", "--name", "anna.secretive").out.trim();
  const port = await freePort();
  writeFileSync(host.data.configFile, `listen: 127.0.0.1:${port}\n`);
  return { ...host, port, token };
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
  );
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs the command and looks up its findings as `area/check`. */
function examine(host: OperatedHost, env: Record<string, string> = {}) {
  const ended = runProgram("signet", ["doctor", "--json"], { SIGNET_DATA: host.data.root, ...env });
  const { findings, summary } = JSON.parse(ended.out) as {
    findings: DoctorFinding[];
    summary: Record<DoctorFinding["level"], number>;
  };
  const find = (name: string) => findings.find(({ area, check }) => `${area}/${check}` === name);
  const problems = findings.filter(({ level }) => level === "problem").map(({ area, check }) => `${area}/${check}`);
  return { ...ended, findings, summary, find, problems };
}

test("a licensed host in order has no problem, and every area is examined", async () => {
  const host = await useLicensed();
  const { exit, problems, findings, find } = examine(host);
  expect(problems).toEqual([]);
  expect(exit).toBe(0);
  const areas = [
    "license",
    "host",
    "clock",
    "ledger",
    "audit",
    "libraries",
    "GPU",
    "access",
    "network",
    "files",
    "disk",
  ];
  expect([...new Set(findings.map(({ area }) => area))]).toEqual([...areas, "kernel", "runtime", "systemd"]);
  expect(find("license/authorization")?.found).toMatch(/all \d+ steps/);
  expect(find("license/time")).toMatchObject({ level: "note", found: expect.stringMatching(/in 30 days/) });
  expect(find("libraries/digests")?.level).toBe("ok");
  expect(find("libraries/system libraries")?.level).toBe("ok");
  expect(find("host/match")?.found).toMatch(/points match/);
  expect(find("network/port")?.found).toMatch(/free/);
  expect(find("kernel/sealed memory")?.level).toBe("ok");
  for (const { level, next } of findings) if (level === "problem") expect(next).toBeTruthy();
});

test("a host on which nothing was done is told where to begin, and nothing is made", () => {
  const host = useBareHost();
  const { exit, find } = examine(host);
  expect(exit).toBe(1);
  expect(find("license/authorization")?.found).toMatch(/LICENSE_MISSING/);
  expect(find("files/data directory")?.level).toBe("note");
  expect(() => readFileSync(host.data.root)).toThrow(/ENOENT/);
});

describe("finds", () => {
  test("every library that was changed, and what the license says of it", async () => {
    const host = await useLicensed();
    appendFileSync(join(host.data.licenseDir, "files", "identity", "libsignet_identity.so"), "x");
    const { exit, problems, find } = examine(host);
    expect(exit).toBe(1);
    expect(problems).toEqual(["license/authorization", "libraries/identity/libsignet_identity.so"]);
    expect(find("license/authorization")?.found).toMatch(/LIBRARY_DIGEST_MISMATCH/);
  });

  test("a license whose key is gone, and still compares its libraries", async () => {
    const host = await useLicensed();
    renameSync(host.data.hostDir, `${host.data.hostDir}.away`);
    const { problems, find } = examine(host);
    expect(problems).toContain("license/authorization");
    expect(find("license/authorization")?.found).toMatch(/HOST_KEY_LOST/);
    expect(find("libraries/digests")?.found).toMatch(/1 files are byte for byte/);
  });

  test("an audit log that was edited", async () => {
    const host = await useLicensed();
    const file = join(host.data.auditDir, "audit.jsonl");
    writeFileSync(file, readFileSync(file, "utf8").replace("license.", "licence."));
    const { problems, find } = examine(host);
    expect(problems).toEqual(["audit/chain"]);
    expect(find("audit/chain")?.found).toMatch(/AUDIT_TAMPERED/);
  });

  test("a ledger that was edited and one that is gone", async () => {
    const host = await useLicensed();
    const journal = join(host.data.ledgerDir, "journal.jsonl");
    const whole = readFileSync(journal, "utf8");
    writeFileSync(
      journal,
      whole.replace(/\d/, (digit) => String((Number(digit) + 1) % 10)),
    );
    expect(examine(host).find("ledger/chain")?.found).toMatch(/LEDGER_TAMPERED/);
    rmSync(journal);
    expect(examine(host).find("ledger/chain")?.found).toMatch(/LEDGER_MISSING/);
  });

  test("a port that another program has", async () => {
    const host = await useLicensed();
    const squatter = createServer().listen(host.port, "127.0.0.1");
    await once(squatter, "listening");
    onTestFinished(() => {
      squatter.close();
    });
    const { problems, find } = examine(host);
    expect(problems).toEqual(["network/port"]);
    expect(find("network/port")?.found).toMatch(/another program/);
  });

  test("its own server, by its health and by its hold on the ledger", async () => {
    const host = await useLicensed();
    const server = useSignetServe(host.data.root);
    await server.logged("serving");
    const { problems, find } = examine(host);
    expect(problems).toEqual([]);
    expect(find("network/port")?.found).toMatch(/this host's server answers .*: SERVING/);
    expect(find("ledger/server")?.found).toBe(`in use by process ${server.pid}`);
    server.kill("SIGTERM");
    await server.exit();
  });

  test("a TLS server by its health, a certificate near its end, and a key that does not fit", async () => {
    const host = await useLicensed();
    const [cert, key] = [join(host.data.root, "cert.pem"), join(host.data.root, "cert.key")];
    const issue = (days: number, keyFile: string) => {
      const subject = ["-subj", "/CN=server", "-days", `${days}`, "-keyout", keyFile, "-out", cert];
      execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject], { stdio: "ignore" });
      chmodSync(keyFile, 0o600);
    };
    issue(90, key);
    appendFileSync(host.data.configFile, "tls: { cert: cert.pem, key: cert.key }\n");
    const server = useSignetServe(host.data.root);
    await server.logged("serving");
    const { problems, find } = examine(host);
    expect(problems).toEqual([]);
    expect(find("network/port")?.found).toMatch(/loopback, TLS: SERVING/);
    expect(find("network/TLS")?.found).toMatch(/89 days left/);
    server.kill("SIGTERM");
    await server.exit();
    issue(10, key);
    expect(examine(host).find("network/TLS")).toMatchObject({
      level: "note",
      found: expect.stringMatching(/in 9 days/),
    });
    issue(10, `${key}.other.key`);
    expect(examine(host).find("network/TLS")?.found).toMatch(/CONFIG_INVALID/);
  });

  test("a configuration with a wrong key, an address that needs TLS, and one of another machine", async () => {
    const host = await useLicensed();
    writeFileSync(host.data.configFile, "lisen: 127.0.0.1:1\n");
    expect(examine(host).find("network/configuration")?.found).toMatch(/CONFIG_INVALID/);
    writeFileSync(host.data.configFile, "listen: 0.0.0.0:8001\n");
    expect(examine(host).find("network/address")?.found).toMatch(/INSECURE_LISTEN/);
    writeFileSync(host.data.configFile, "listen: 203.0.113.7:8001\ninsecure: true\n");
    const { find, out } = examine(host);
    expect(find("network/port")?.found).toMatch(/EADDRNOTAVAIL/);
    expect(out).not.toContain("203.0.113");
  });

  test("files that others can write or read, by name", async () => {
    const host = await useLicensed();
    chmodSync(join(host.data.hostDir, "host.key"), 0o644);
    chmodSync(host.data.trustDir, 0o777);
    const { problems, find } = examine(host);
    expect(problems).toContain("files/permissions");
    expect(find("files/permissions")?.found).toMatch(/trust/);
    expect(find("files/permissions of secrets")?.found).toMatch(/host\/host\.key/);
    expect(find("license/authorization")?.level).toBe("problem");
  });

  test("links and leftovers among the licensed files", async () => {
    const host = await useLicensed();
    const library = join(host.data.licenseDir, "files", "identity", "libsignet_identity.so");
    renameSync(library, join(host.directory, "elsewhere.so"));
    symlinkSync(join(host.directory, "elsewhere.so"), library);
    writeFileSync(`${host.data.accessFile}.new`, "", { mode: 0o600 });
    const { find } = examine(host);
    expect(find("files/kinds of files")?.found).toMatch(/libsignet_identity\.so/);
    expect(find("files/leftovers")?.found).toMatch(/access\.json\.new/);
    expect(find("libraries/identity/libsignet_identity.so")?.found).toMatch(/LIBRARY_NOT_REGULAR/);
  });

  test("pipes in the place of files, without waiting on any", async () => {
    const host = await useLicensed();
    const { data } = host;
    const licensed = [join(data.licenseDir, "license.lic"), join(data.ledgerDir, "journal.jsonl")];
    const names = [data.configFile, data.accessFile, join(data.root, "serving.json"), join(data.hostDir, "host.key")];
    for (const path of [...licensed, ...names]) {
      rmSync(path, { force: true });
      execFileSync("mkfifo", ["-m", "600", path]);
    }
    const { exit, problems } = examine(host);
    expect(exit).toBe(1);
    expect(problems).toEqual(
      expect.arrayContaining([
        "license/authorization",
        "access/tokens",
        "network/configuration",
        "files/kinds of files",
      ]),
    );
  });

  test("tokens that have expired", async () => {
    const host = await useLicensed();
    const file = JSON.parse(readFileSync(host.data.accessFile, "utf8"));
    file.tokens[0].expires = "2020-01-01T00:00:00.000Z";
    writeFileSync(host.data.accessFile, JSON.stringify(file));
    expect(examine(host).find("access/tokens")).toMatchObject({
      level: "note",
      found: expect.stringMatching(/1 token, all expired/),
    });
  });

  test.each([
    ["LD_PRELOAD", "libm.so.6"],
    ["LD_LIBRARY_PATH", "/srv/private"],
    ["NODE_OPTIONS", "--no-warnings"],
  ])("%s in the environment, and not its value", (name, value) => {
    const { find, out } = examine(useBareHost(), { [name]: value });
    expect(find("runtime/environment")).toMatchObject({ level: "problem", found: expect.stringContaining(name) });
    expect(out).not.toContain(value);
  });

  test.runIf(isRoot)("files of another user, such as root's among a service's", async () => {
    const host = await useLicensed();
    chownSync(host.data.accessFile, 65_534, 65_534);
    expect(examine(host).find("files/owner")?.found).toMatch(/access\.json/);
    chownSync(host.data.root, 65_534, 65_534);
    expect(examine(host).find("files/data directory")?.found).toMatch(/belongs to user 65534/);
  });

  test.runIf(isRoot)("a full disk and one without inodes", () => {
    const host = useBareHost();
    mkdirSync(host.data.root);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,nr_inodes=20", "tmpfs", host.data.root]);
    onTestFinished(() => {
      execFileSync("umount", ["-l", host.data.root]);
    });
    const { problems } = examine(host);
    expect(problems).toEqual(expect.arrayContaining(["disk/space", "disk/inodes"]));
  });
});

describe("what is printed", () => {
  /** Everything that must not be in a ticket, by what it is. */
  async function secretsOf(host: OperatedHost & { token: string }): Promise<Record<string, string>> {
    const key = readFileSync(join(host.data.hostDir, "host.key"), "utf8");
    const lines = key.split("\n").filter((line) => line.length > 20 && !line.startsWith("-"));
    const tokens = JSON.parse(readFileSync(host.data.accessFile, "utf8")).tokens;
    const facts = (await readMachine()).facts.map(({ type, value }) => [`${type} of the machine`, value]);
    return {
      ...Object.fromEntries(facts),
      ...Object.fromEntries(lines.map((line, index) => [`line ${index} of the key`, line])),
      token: host.token,
      "name of a token": "anna.secretive",
      "hash of a token": tokens[0].secretSha256,
      customer: "Example GmbH",
      "data directory": host.data.root,
      "a variable's value": "hunter2",
      ...(hostname().length > 3 && hostname() !== "localhost" ? { hostname: hostname() } : {}),
    };
  }

  test("holds no secret, no name and no place, in order or in any kind of disorder", {
    ...attack("reads secrets in a ticket", "signet doctor on a host in 11 kinds of disorder"),
    timeout: 300_000,
  }, async () => {
    const host = await useLicensed();
    const secrets = await secretsOf(host);
    const disorders: (() => void)[] = [
      () => {},
      () => writeFileSync(host.data.configFile, `listen: "hunter2 ${host.token}"\n`),
      () => writeFileSync(host.data.configFile, `listen: [hunter2 ${host.token}\n`),
      () => writeFileSync(host.data.configFile, "listen: *hunter2\n"),
      () => writeFileSync(host.data.configFile, "listen: !hunter2 x\n"),
      () => writeFileSync(host.data.configFile, "tls: { cert: hunter2.pem, key: b }\nlog: { level: hunter2 }\n"),
      () => writeFileSync(host.data.accessFile, `{"tokens": "${host.token} hunter2"}`),
      () => appendFileSync(join(host.data.hostDir, "host.key"), host.token),
      () => cpSync(join(host.data.licenseDir, "license.conf"), join(host.data.licenseDir, "license.lic")),
      () => rmSync(host.data.trustDir, { recursive: true }),
      () => chmodSync(host.data.root, 0o777),
    ];
    for (const disorder of disorders) {
      disorder();
      for (const flags of [[], ["--json"]]) {
        const env = { SIGNET_DATA: host.data.root, SIGNET_PASSPHRASE: "hunter2", NODE_PATH: "/hunter2" };
        const { out, err } = runProgram("signet", ["doctor", ...flags], env);
        expect(out.length).toBeGreaterThan(500);
        for (const [what, secret] of Object.entries(secrets)) {
          expect((out + err).includes(secret), `${what} after ${disorder}`).toBe(false);
        }
      }
    }
    observed(`none of ${Object.keys(secrets).length} secrets, names and places is in it`);
  });

  test("fits 80 columns and has no colors where nobody looks at a terminal", async () => {
    const host = await useLicensed();
    rmSync(join(host.data.licenseDir, "license.conf"));
    const { out, exit }: Ended = host.signet("doctor");
    expect(exit).toBe(1);
    expect(Math.max(...out.split("\n").map((line) => [...line].length))).toBeLessThanOrEqual(80);
    expect(out).not.toContain("\u001b");
    expect(out).toMatch(/^license\n {2}problem {2}authorization: step \d+ of \d+/);
  });
});

test("a wrong word is one line and exit code 2", () => {
  expect(useBareHost().signet("doctor", "--jason")).toMatchObject({ exit: 2, out: "", code: "USAGE" });
});
