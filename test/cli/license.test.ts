import { createHash } from "node:crypto";
import { chownSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openHostKey, openLedger } from "../../src/license/index.ts";
import { startRun } from "../../src/license/start-run.fixture.ts";
import { openHostLedger } from "../../src/service/index.ts";
import { type OperatedHost, useBareHost, useDesk } from "../helpers/operator.ts";

const desk = useDesk();
const limits = { runs: 1000, runTimeMs: 36_000_000, concurrency: 2 };

/** Every file of the installed license and its digest. */
function installed({ data }: OperatedHost): string[] {
  return readdirSync(data.licenseDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => `${path} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`)
    .sort();
}

function licenseIdOf(host: OperatedHost): string {
  return JSON.parse(host.signet("license", "status", "--json").out).licenseId;
}

/** Uses some runs of the installed license and leaves the ledger open, as a running server does. */
async function useRuns(host: OperatedHost, runs: number) {
  const licenseId = licenseIdOf(host);
  const ledger = await openHostLedger(host.data, await openHostKey(host.data.hostDir));
  onTestFinished(() => ledger.close());
  for (let run = 0; run < runs; run++) ledger.settle(startRun(ledger, licenseId, "identity", limits));
  return ledger;
}

test("a host is licensed from request to check, and everything it prints can be read by programs", () => {
  const host = useBareHost();
  const request = join(host.directory, "host.req");
  const requested = host.signet("host", "request", "--out", request, "--json");
  expect(requested).toMatchObject({ exit: 0 });
  expect(JSON.parse(requested.out)).toMatchObject({ file: request, newKey: true, ledger: null });

  const bundle = join(host.directory, "bundle");
  expect(desk.issue(request, bundle)).toMatchObject({ exit: 0 });
  expect(host.signet("license", "verify", bundle)).toMatchObject({ exit: 3, code: "TRUST_ROOT_MISSING" });
  expect(host.signet("trust", "add", desk.root, "--json")).toMatchObject({ exit: 0 });
  expect(host.signet("license", "verify", bundle)).toMatchObject({ exit: 0 });
  expect(host.signet("license", "status")).toMatchObject({ exit: 3, code: "LICENSE_MISSING" });

  const installation = host.signet("license", "install", bundle, "--json");
  expect(installation).toMatchObject({ exit: 0 });
  expect(JSON.parse(installation.out)).toMatchObject({ sequence: 1, services: ["identity"], previous: null });

  const verified = host.signet("license", "verify", "--json");
  expect(JSON.parse(verified.out).holds).toBe(true);
  const status = JSON.parse(host.signet("license", "status", "--json").out);
  expect(status).toMatchObject({ vendor: "ACME Vision", customer: "Example GmbH", graceDays: 5, problems: [] });
  expect(status.time).toEqual({ phase: "valid", daysLeft: 30 });
  expect(status.services).toMatchObject([
    { name: "identity", version: "3", runsLeft: 1000, runTimeLeftMs: 36_000_000, jobTimeLimitMs: 60_000 },
  ]);
  const check = host.signet("check", "--json");
  expect(check).toMatchObject({ exit: 0 });
  expect(JSON.parse(check.out)).toMatchObject({ listen: "127.0.0.1:8001", services: [{ runsLeft: 1000, files: 1 }] });
});

test("the words for people name the vendor, the days left and what is left of each service", () => {
  const host = desk.useHost();
  expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
  const { out } = host.signet("license", "status");
  expect(out).toMatch(
    /ACME Vision[\s\S]*30 days, then 5 days of grace[\s\S]*identity {2}3 +1000 of 1000 +10 h +10 h +2 /,
  );
  const verified = host.signet("license", "verify").out.trimEnd().split("\n");
  expect(verified.filter((line) => line.startsWith("✓")).length).toBe(23);
  expect(verified.at(0)).toContain(host.data.licenseDir);
  expect(verified.at(-1)).toMatch(/^good: /);
});

describe("what a license refuses", () => {
  test("a bundle for another host, at the step that says so", () => {
    const host = useBareHost();
    host.signet("trust", "add", desk.root);
    host.signet("host", "request", "--out", join(host.directory, "host.req"));
    const { out, exit, code } = host.signet("license", "verify", desk.useBundle());
    expect({ exit, code }).toEqual({ exit: 3, code: "HOST_KEY_MISMATCH" });
    expect(out).toMatch(/✓ its time is now\n✗ [^\n]*: HOST_KEY_MISMATCH\n· [\s\S]*\nrefused: /);
    expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 3, code: "HOST_KEY_MISMATCH" });
  });

  test("an expired license; its status can still be read", () => {
    const host = desk.useHost();
    const bundle = join(host.directory, "expired");
    const terms = { notBefore: "2020-01-01", expires: "2020-02-01" };
    expect(desk.issue(join(desk.directory, "host.req"), bundle, terms)).toMatchObject({ exit: 0 });
    expect(host.signet("license", "install", bundle)).toMatchObject({ exit: 3, code: "LICENSE_EXPIRED" });
    renameSync(bundle, host.data.licenseDir);
    expect(host.signet("check")).toMatchObject({ exit: 3, code: "LICENSE_EXPIRED" });
    const status = host.signet("license", "status", "--json");
    expect(status).toMatchObject({ exit: 0, code: "LICENSE_EXPIRED" });
    expect(JSON.parse(status.out)).toMatchObject({ time: null, problems: [{ code: "LICENSE_EXPIRED" }] });
  });

  test("a license older than the installed one, and one older than the ledger has seen", async () => {
    const host = desk.useHost();
    const [old, renewed] = [desk.useBundle(), join(host.directory, "renewed")];
    const renewal = ["--renew", join(old, "license.lic")];
    expect(desk.issue(join(desk.directory, "host.req"), renewed, undefined, ...renewal)).toMatchObject({ exit: 0 });
    host.signet("license", "install", old);
    const installation = host.signet("license", "install", renewed, "--json");
    expect(JSON.parse(installation.out)).toMatchObject({ sequence: 2, previous: `${host.data.licenseDir}.previous` });
    expect(host.signet("license", "install", old)).toMatchObject({ exit: 3, code: "LICENSE_SUPERSEDED" });
    expect(host.signet("license", "verify")).toMatchObject({ exit: 0 });

    const ledger = await openHostLedger(host.data, await openHostKey(host.data.hostDir));
    ledger.admit(licenseIdOf(host), 2);
    ledger.close();
    rmSync(host.data.licenseDir, { recursive: true });
    expect(host.signet("license", "install", old)).toMatchObject({ exit: 3, code: "LICENSE_SUPERSEDED" });
  });

  test("a changed library of the installed license, without changing anything", () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    const library = join(host.data.licenseDir, "files/identity/libsignet_identity.so");
    const bytes = readFileSync(library);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(library, bytes);
    const before = installed(host);
    const { out, exit, code } = host.signet("license", "verify", "--json");
    expect({ exit, code }).toEqual({ exit: 3, code: "LIBRARY_DIGEST_MISMATCH" });
    expect(JSON.parse(out).steps.at(-1)).toMatchObject({ state: "refused", code: "LIBRARY_DIGEST_MISMATCH" });
    expect(host.signet("check")).toMatchObject({ exit: 3, code: "LIBRARY_DIGEST_MISMATCH" });
    const { problems } = JSON.parse(host.signet("license", "status", "--json").out);
    expect(problems).toEqual([{ code: "LIBRARY_DIGEST_MISMATCH", message: expect.stringContaining(library) }]);
    expect(host.signet("license", "status").out).toMatch(/^state +REFUSED: LIBRARY_DIGEST_MISMATCH$/m);
    expect(installed(host)).toEqual(before);
    // Installing again is the cure.
    expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
    expect(host.signet("license", "verify")).toMatchObject({ exit: 0 });
  });

  test("a host whose ledger and both anchors were deleted, in every command", () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    rmSync(host.data.ledgerDir, { recursive: true });
    rmSync(host.data.ledgerAnchorFile);
    const refused = { exit: 3, code: "LEDGER_MISSING" };
    expect(host.signet("license", "verify")).toMatchObject(refused);
    expect(host.signet("check")).toMatchObject(refused);
    expect(host.signet("license", "install", desk.useBundle())).toMatchObject(refused);
    expect(host.signet("host", "request", "--out", join(host.directory, "again.req"))).toMatchObject(refused);
    expect(host.signet("license", "status", "--json").code).toBe("LEDGER_MISSING");
  });
});

test("a clock that was set back by more than a day is refused, by less is not", async () => {
  const hosts = { hours: desk.useHost(), days: desk.useHost() };
  for (const [host, hours] of [[hosts.hours, 20] as const, [hosts.days, 60] as const]) {
    const { ledgerDir: directory, ledgerAnchorFile: anchorFile, hostDir } = host.data;
    const key = (await openHostKey(hostDir)).deriveKey("ledger");
    const clock = { wallMs: () => Date.now() + hours * 3_600_000, monotonicMs: () => performance.now() };
    openLedger({ directory, anchorFile, key, clock, create: true, lock: () => true }).close();
  }
  expect(hosts.hours.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
  const refused = hosts.days.signet("license", "install", desk.useBundle());
  expect(refused).toMatchObject({ exit: 3, code: "CLOCK_SET_BACK" });
});

test("a token for a service that is not licensed, or with a name that is taken, is made with a warning", () => {
  const host = desk.useHost();
  const add = (service: string) => host.signet("access", "add", "--name", "web", "--service", service).err;
  expect(add("nosuch")).not.toMatch(/Warning/);
  host.signet("license", "install", desk.useBundle());
  expect(add("nosuch")).toMatch(/Warning: [^\n]*nosuch[\s\S]*Warning: [^\n]*web/);
  expect(add("identity")).not.toMatch(/Warning: [^\n]*identity/);
});

describe("beside a running server", () => {
  test("status, verify and check read its ledger, and a license can be installed", async () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    const ledger = await useRuns(host, 7);
    ledger.beat();
    const [status] = JSON.parse(host.signet("license", "status", "--json").out).services;
    expect(status).toMatchObject({ runsUsed: 7, runsLeft: 993 });
    expect(host.signet("check")).toMatchObject({ exit: 0 });
    expect(host.signet("license", "verify")).toMatchObject({ exit: 0 });
    expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
  });

  test("a service whose runs are used up is named by status, check, install and renewal", async () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    (await useRuns(host, limits.runs)).beat();
    const status = host.signet("license", "status");
    expect(status.out).toMatch(/^state +good, but identity has no runs left$/m);
    for (const { exit, err } of [status, host.signet("check"), host.signet("license", "install", desk.useBundle())]) {
      expect({ exit, err }).toEqual({ exit: 0, err: expect.stringContaining("identity has no runs left") });
    }
    const [service] = JSON.parse(host.signet("check", "--json").out).services;
    expect(service).toMatchObject({ runsLeft: 0, refusal: "LICENSE_RUNS_EXHAUSTED" });

    const [request, renewed] = [join(host.directory, "used.req"), join(host.directory, "renewed")];
    host.signet("host", "request", "--out", request);
    const renewal = desk.issue(request, renewed, undefined, "--renew", join(host.data.licenseDir, "license.lic"));
    expect(renewal).toMatchObject({ exit: 0, err: expect.stringMatching(/^Warning: identity: .* none left/m) });
    const mistaken = desk.issue(request, join(host.directory, "mistaken"));
    expect(mistaken).toMatchObject({ exit: 0, err: expect.stringMatching(/--renew/) });
  });

  test("a request quotes what was used, also where the license was taken away to hide it", async () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    (await useRuns(host, 3)).close();
    const first = host.signet("host", "request", "--out", join(host.directory, "a.req"), "--json");
    expect(JSON.parse(first.out).ledger).toMatchObject({ totals: { identity: { runs: 3 } } });
    rmSync(host.data.licenseDir, { recursive: true });
    const second = host.signet("host", "request", "--out", join(host.directory, "b.req"), "--json");
    expect(JSON.parse(second.out).ledger.sequence).toBeGreaterThan(0);
  });
});

test("a bundle that is named by a file in it is told apart from one that is not there", () => {
  const host = desk.useHost();
  const refused = host.signet("license", "install", join(desk.useBundle(), "license.lic"));
  expect(refused).toMatchObject({
    exit: 2,
    code: "FILE_UNREADABLE",
    err: expect.stringContaining("is a file, expected"),
  });
});

describe("check refuses what serve would", () => {
  const written = (host: OperatedHost, yaml: string) => writeFileSync(host.data.configFile, yaml);
  test.each([
    ["an unknown key", "lisen: 127.0.0.1:1\n", "CONFIG_INVALID"],
    ["plaintext for other machines", "listen: 0.0.0.0:8001\n", "INSECURE_LISTEN"],
    ["a certificate that is not there", "tls: { cert: a.pem, key: b.pem }\n", "FILE_UNREADABLE"],
    ["a certificate that is none", "tls: { cert: signet.yaml, key: signet.yaml }\n", "CONFIG_INVALID"],
  ])("%s", (_, yaml, code) => {
    const host = desk.useHost();
    written(host, yaml);
    expect(host.signet("check")).toMatchObject({ exit: 2, out: "", code });
  });

  test("TLS files that do not fit together, naming the one that is wrong", () => {
    const host = desk.useHost();
    expect(host.signet("certs", "init")).toMatchObject({ exit: 0 });
    for (const [tls, words] of [
      ["cert: tls/server.crt, key: tls/ca.key", /tls\.key: .+ca\.key: is not the key of .+server\.crt/],
      ["cert: tls/server.key, key: tls/server.key", /tls\.cert: .+server\.key: expected a certificate/],
      ["cert: tls/server.crt, key: tls/ca.crt", /tls\.key: .+ca\.crt: expected a private key/],
      ["cert: tls/server.crt, key: tls/server.key, clientCa: tls/ca.key", /tls\.clientCa: .+ca\.key: expected/],
    ] as const) {
      written(host, `tls: { ${tls} }\n`);
      expect(host.signet("check")).toMatchObject({
        exit: 2,
        code: "CONFIG_INVALID",
        err: expect.stringMatching(words),
      });
    }
  });

  test("a configuration that was named and is not there", () => {
    const host = desk.useHost();
    expect(host.signet("check", "--config", "/nowhere.yaml")).toMatchObject({ exit: 2, code: "FILE_UNREADABLE" });
  });

  test("access tokens that other users can read", () => {
    const host = desk.useHost();
    writeFileSync(host.data.accessFile, '{"v":1,"tokens":[]}', { mode: 0o644 });
    expect(host.signet("check")).toMatchObject({ exit: 2, code: "ACCESS_FILE_INVALID" });
  });

  test("a place where it cannot write", () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    writeFileSync(host.data.homesDir, "not a directory");
    expect(host.signet("check")).toMatchObject({ exit: 2, code: "FILE_UNREADABLE" });
  });

  test("and changes nothing where all is well", () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    const listed = () => readdirSync(host.data.root, { recursive: true }).sort();
    const before = listed();
    written(host, "services: { nobody: { maxQueue: 1 } }\n");
    const { exit, err } = host.signet("check");
    expect(exit).toBe(0);
    expect(err).toMatch(/settings for nobody/);
    rmSync(host.data.configFile);
    expect(listed()).toEqual(before);
  });
});

test("the installed files belong to this user alone", () => {
  const host = desk.useHost();
  host.signet("license", "install", desk.useBundle());
  const modes = installed(host).map((line) => statSync(line.split(" ").slice(0, -1).join(" ")).mode & 0o777);
  expect(new Set(modes)).toEqual(new Set([0o600]));
});

test("an installation that was interrupted is cleared away by the next", () => {
  const host = desk.useHost();
  mkdirSync(join(host.data.root, "license.new-abcdef/files"), { recursive: true });
  host.signet("license", "install", desk.useBundle());
  expect(readdirSync(host.data.root).filter((name) => name.startsWith("license"))).toEqual(["license"]);
});

test.runIf(process.getuid?.() === 0)("root is warned in another user's data directory", () => {
  const host = desk.useHost();
  chownSync(host.data.root, 65_534, 65_534);
  expect(host.signet("trust", "add", desk.root).err).toMatch(/^Warning: .* belongs to user 65534/);
});
