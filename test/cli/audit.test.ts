import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../helpers/attack.ts";
import { type OperatedHost, useBareHost, useDesk } from "../helpers/operator.ts";

const attack = attacksOn("logs and tickets");

const desk = useDesk();

/** A host with a key, whose first token was made. */
function useAuditedHost(): OperatedHost {
  const host = useBareHost();
  expect(host.signet("host", "request", "--out", join(host.directory, "host.req"))).toMatchObject({ exit: 0 });
  expect(host.signet("access", "add", "--name", "first")).toMatchObject({ exit: 0 });
  return host;
}

function eventsOf(host: OperatedHost, ...flags: string[]): { event: string; code?: string; detail: object }[] {
  return JSON.parse(host.signet("audit", "show", "--json", ...flags).out);
}

describe("signet audit", () => {
  test("shows what administrators did, with who did it", () => {
    const host = desk.useHost();
    const { id } = JSON.parse(host.signet("access", "add", "--name", "web", "--json").out);
    host.signet("access", "remove", id);
    const roots = JSON.parse(host.signet("trust", "list", "--json").out);
    host.signet("trust", "remove", roots[0].keyId);
    host.signet("trust", "add", desk.root);
    expect(host.signet("license", "install", desk.useBundle())).toMatchObject({ exit: 0 });
    const events = eventsOf(host).map(({ event }) => event);
    const expected = ["access.added", "access.removed", "trust.removed", "trust.added", "license.installed"];
    expect(events.slice(-expected.length)).toEqual(expected);
    expect(eventsOf(host, "--event", "access.", "--last", "1")).toEqual([
      expect.objectContaining({ event: "access.removed", by: expect.stringMatching(/./) }),
    ]);
    expect(eventsOf(host, "--since", "2999-01-01")).toEqual([]);
    const none = host.signet("audit", "show", "--event", "token.added");
    expect(none).toMatchObject({ exit: 0, out: "", err: expect.stringMatching(/^No record/) });
    expect(host.signet("audit", "verify")).toMatchObject({ exit: 0 });
  });

  test("shows which bundle was refused, and by which code", () => {
    const host = desk.useHost();
    const bundle = desk.useBundle();
    writeFileSync(join(bundle, "license.conf"), "nonsense");
    expect(host.signet("license", "install", bundle)).toMatchObject({ exit: 3 });
    expect(eventsOf(host, "--code", "CONF_DIGEST_MISMATCH")).toEqual([
      expect.objectContaining({ event: "license.refused", detail: expect.objectContaining({ bundle }) }),
    ]);
  });

  test("never holds a token", attack("reads a token in the audit log", "signet access add"), () => {
    const host = useAuditedHost();
    const { token } = JSON.parse(host.signet("access", "add", "--name", "web", "--json").out);
    const log = readFileSync(join(host.data.auditDir, "audit.jsonl"), "utf8");
    expect(log).toContain("web");
    expect(log).not.toContain(token.split("_")[2]);
    observed("its name is there, and no secret");
    expect(statSync(join(host.data.auditDir, "audit.jsonl")).mode & 0o077).toBe(0);
  });

  test(
    "verify ends with 3 where a line was changed, says where, and show marks it",
    attack("edits the audit log", "a name, then signet audit verify"),
    () => {
      const host = useAuditedHost();
      const file = join(host.data.auditDir, "audit.jsonl");
      writeFileSync(file, readFileSync(file, "utf8").replace('"first"', '"forst"'));
      const { exit, out, code } = host.signet("audit", "verify");
      expect({ exit, code }).toEqual({ exit: 3, code: "AUDIT_TAMPERED" });
      expect(out).toContain("audit.jsonl line 3");
      expect(host.signet("audit", "show").out).toContain("access.added (CHANGED)");
      // What happens afterwards is recorded all the same.
      expect(host.signet("access", "add", "--name", "second")).toMatchObject({ exit: 0 });
      expect(host.signet("audit", "show").out).toContain("second");
      expect(host.signet("audit", "verify")).toMatchObject({ exit: 3 });
    },
  );

  test("says so where there is none, and where there is no key for one", () => {
    const host = useBareHost();
    expect(host.signet("audit", "verify").err).toContain("HOST_KEY_MISSING");
    expect(host.signet("access", "add", "--name", "early")).toMatchObject({ exit: 0 });
    host.signet("host", "request", "--out", join(host.directory, "host.req"));
    expect(eventsOf(host).map(({ event }) => event)).toEqual(["audit.began", "host.requested"]);
    rmSync(host.data.auditDir, { recursive: true });
    rmSync(host.data.auditAnchorFile);
    expect(host.signet("audit", "verify")).toMatchObject({ exit: 3, err: expect.stringContaining("AUDIT_MISSING") });
  });

  test("is whole on a new host, also where a license is the first thing that it records", () => {
    const host = useBareHost();
    const [request, bundle] = [join(host.directory, "host.req"), join(host.directory, "bundle")];
    expect(host.signet("trust", "add", desk.root)).toMatchObject({ exit: 0 });
    expect(host.signet("host", "request", "--out", request)).toMatchObject({ exit: 0 });
    expect(desk.issue(request, bundle)).toMatchObject({ exit: 0 });
    expect(host.signet("license", "install", bundle)).toMatchObject({ exit: 0 });
    expect(host.signet("audit", "verify")).toMatchObject({ exit: 0 });
  });

  test("that cannot be written keeps no command from its work, and is said", () => {
    const host = useAuditedHost();
    const file = join(host.data.auditDir, "audit.jsonl");
    // A directory in the log's place cannot be opened for writing, by root neither.
    rmSync(file);
    mkdirSync(file);
    const { exit, out, err } = host.signet("access", "add", "--name", "second");
    expect(exit).toBe(1);
    expect(out).toMatch(/^sgn_/);
    expect(err).toContain("AUDIT_UNWRITABLE");
    expect(host.signet("access", "list").out).toContain("second");
  });
});

describe("signet certs", () => {
  test("makes a site's certificates, and access takes a client's by its certificate", () => {
    const host = useAuditedHost();
    const made = host.signet("certs", "init", "--name", "inference.example.com", "192.0.2.7", "--json");
    expect(JSON.parse(made.out).names).toBe("DNS:inference.example.com, IP Address:192.0.2.7");
    expect(statSync(join(host.data.tlsDir, "ca.key")).mode & 0o777).toBe(0o600);
    expect(statSync(join(host.data.tlsDir, "server.key")).mode & 0o777).toBe(0o600);
    expect(host.signet("certs", "init")).toMatchObject({
      exit: 2,
      err: expect.stringMatching(/FILE_EXISTS.*certs server/),
    });

    const client = JSON.parse(
      host.signet("certs", "client", "--name", "web-shop", "--out", host.directory, "--json").out,
    );
    const flags = ["--certificate", client.certificate, "--calls-per-second", "10", "--concurrent", "2"];
    expect(host.signet("access", "add", "--name", "web-shop", ...flags)).toMatchObject({ exit: 0 });
    expect(JSON.parse(host.signet("access", "list", "--json").out)).toContainEqual(
      expect.objectContaining({
        name: "web-shop",
        certificateSha256: client.sha256,
        limits: { callsPerSecond: 10, burst: null, concurrent: 2 },
        expires: client.expires,
      }),
    );
    const again = host.signet("access", "add", "--name", "again", ...flags);
    expect(again).toMatchObject({ exit: 2, err: expect.stringContaining(`${client.certificate}: the certificate`) });

    expect(eventsOf(host, "--event", "tls.issued")).toHaveLength(2);
    const before = readFileSync(join(host.data.tlsDir, "server.crt"), "utf8");
    const renewed = JSON.parse(host.signet("certs", "server", "--json").out);
    expect(renewed.names).toBe("DNS:inference.example.com, IP Address:192.0.2.7");
    expect(readFileSync(join(host.data.tlsDir, "server.crt"), "utf8")).not.toBe(before);
  });

  test("that need an authority say how it is made", () => {
    const host = useBareHost();
    for (const words of [["server"], ["client", "--name", "web-shop"]]) {
      expect(host.signet("certs", ...words)).toMatchObject({
        exit: 2,
        err: expect.stringMatching(/ca\.crt: no such file.*`signet certs init` makes it/),
      });
    }
  });

  test.each([
    [["certs", "init", "--name", "not a name"]],
    [["certs", "init", "--days", "0"]],
    [["certs", "client", "--name", "../x"]],
    [["certs", "client", "--name", "no-authority"]],
    [["access", "add", "--name", "x", "--certificate", "/etc/hostname"]],
    [["access", "add", "--name", "x", "--certificate", "/dev/zero"]],
    [["access", "add", "--name", "x", "--burst", "3"]],
    [["access", "add", "--name", "x", "--calls-per-second", "-1"]],
    [["access", "add", "--name", "x", "--concurrent", "1.5"]],
  ])("%j is refused in one line", (words) => {
    const { exit, out, err } = useBareHost().signet(...words);
    expect({ exit, out, lines: err.trim().split("\n").length }).toEqual({ exit: 2, out: "", lines: 1 });
  });
});
