import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readMachine } from "../../src/license/index.ts";
import { useBareHost, useDesk } from "../helpers/operator.ts";

const desk = useDesk();

describe("signet host", () => {
  test("a request never overwrites a file, not even to make a key", () => {
    const host = useBareHost();
    const out = join(host.directory, "host.req");
    writeFileSync(out, "precious");
    expect(host.signet("host", "request", "--out", out)).toMatchObject({ exit: 2, out: "", code: "FILE_EXISTS" });
    expect(readFileSync(out, "utf8")).toBe("precious");
    expect(existsSync(host.data.root)).toBe(false);
  });

  test("a request is written into a directory that is there, and without one no key is made", () => {
    const host = useBareHost();
    const nowhere = join(host.directory, "nowhere");
    const refused = host.signet("host", "request", "--out", join(nowhere, "host.req"));
    expect(refused).toMatchObject({ exit: 2, code: "FILE_UNREADABLE" });
    expect(host.signet("host", "request", "--out", host.directory)).toMatchObject({ exit: 2, code: "FILE_EXISTS" });
    expect([nowhere, host.data.root].filter(existsSync)).toEqual([]);
  });

  test("a second request is made with the same key", () => {
    const host = useBareHost();
    const request = (name: string) =>
      JSON.parse(host.signet("host", "request", "--out", join(host.directory, name), "--json").out);
    const [first, second] = [request("a.req"), request("b.req")];
    expect(first).toMatchObject({ newKey: true });
    expect(second).toMatchObject({ newKey: false, keyId: first.keyId });
    expect(second.requestId).not.toBe(first.requestId);
  });

  test("a request for a host that lost its key, but not its ledger, makes no other", () => {
    const host = desk.useHost();
    host.signet("license", "install", desk.useBundle());
    rmSync(join(host.data.hostDir, "host.key"));
    const out = join(host.directory, "again.req");
    const lost = { exit: 3, code: "HOST_KEY_LOST" };
    for (const words of [["host", "request", "--out", out], ["host", "show"], ["license", "verify"], ["check"]]) {
      expect(host.signet(...words), words.join(" ")).toMatchObject(lost);
    }
    expect(existsSync(out)).toBe(false);
    expect(existsSync(join(host.data.hostDir, "host.key"))).toBe(false);
    // The way out that the message names.
    renameSync(host.data.hostDir, join(host.directory, "host"));
    renameSync(host.data.ledgerDir, join(host.directory, "ledger"));
    expect(host.signet("host", "request", "--out", out)).toMatchObject({ exit: 0 });
  });

  test("neither request nor show lets a raw value out", async () => {
    const host = useBareHost();
    const out = join(host.directory, "host.req");
    const requested = host.signet("host", "request", "--out", out);
    const shown = host.signet("host", "show");
    const json = host.signet("host", "show", "--json");
    expect([requested.exit, shown.exit, json.exit]).toEqual([0, 0, 0]);
    const [, payload = ""] = /-----\n([\s\S]*?)\n-----END/.exec(readFileSync(out, "utf8")) ?? [];
    const told = [requested, shown, json].map(({ out, err }) => out + err).join("") + Buffer.from(payload, "base64");
    const values = (await readMachine()).facts.map(({ value }) => value);
    expect(values.length).toBeGreaterThan(0);
    for (const value of values) expect(told).not.toContain(value);
  });

  test("show names weights and disagreements by type, and makes no key", () => {
    const host = useBareHost();
    const shown = JSON.parse(host.signet("host", "show", "--json").out);
    expect(shown).toMatchObject({ keyId: null, weak: expect.any(Boolean), unreadable: expect.any(Array) });
    for (const component of shown.components)
      expect(Object.keys(component).sort()).toEqual(["count", "type", "weight"]);
    expect(existsSync(host.data.root)).toBe(false);
  });
});

describe("signet trust", () => {
  test("a root is pinned, listed and taken away", () => {
    const host = useBareHost();
    expect(JSON.parse(host.signet("trust", "list", "--json").out)).toEqual([]);
    const added = host.signet("trust", "add", desk.root, "--json");
    expect(added).toMatchObject({ exit: 0, err: expect.stringMatching(/by phone/) });
    const root = JSON.parse(added.out);
    expect(root).toMatchObject({
      keyId: expect.stringMatching(/^[0-9a-f]{64}$/),
      vendor: expect.stringMatching(/ACME/),
    });
    expect(JSON.parse(host.signet("trust", "list", "--json").out)).toEqual([root]);
    const again = host.signet("trust", "add", desk.root, "--json");
    expect(again).toMatchObject({ exit: 0, out: added.out, err: expect.stringMatching(/already/) });
    expect(host.signet("trust", "remove", root.keyId)).toMatchObject({ exit: 0, out: "" });
    expect(JSON.parse(host.signet("trust", "list", "--json").out)).toEqual([]);
  });

  test.each([
    ["a file that is no certificate", "package.json", 3, "TRUST_ROOT_INVALID"],
    ["a file that is not there", "nowhere.pem", 2, "FILE_UNREADABLE"],
    ["a directory", ".", 2, "FILE_UNREADABLE"],
    ["a device that never ends", "/dev/zero", 2, "FILE_UNREADABLE"],
  ])("%s is not pinned", (_, file, exit, code) => {
    expect(useBareHost().signet("trust", "add", file)).toMatchObject({ exit, code });
  });

  test("an issuer's certificate is not pinned: only a root is", () => {
    const issuer = join(desk.directory, "acme", "issuer.pem");
    expect(useBareHost().signet("trust", "add", issuer)).toMatchObject({ exit: 3, code: "TRUST_ROOT_INVALID" });
  });

  test.each(["../host/host", "abc", "0".repeat(64)])(
    "remove takes only the key id of a pinned root, not %s",
    (keyId) => {
      const host = desk.useHost();
      expect(host.signet("trust", "remove", keyId)).toMatchObject({ exit: 2, code: "USAGE" });
      expect(JSON.parse(host.signet("trust", "list", "--json").out)).toHaveLength(1);
    },
  );
});

test.each([
  [["host", "reqest"]],
  [["host", "request", "--output", "x"]],
  [["trust", "add"]],
  [["trust", "remove"]],
  [["license", "install"]],
  [["license", "install", "a", "b"]],
  [["license", "verify", "a", "b"]],
  [["license", "statuss"]],
  [["check", "--port", "1"]],
])("signet %j is a wrong word: one line, exit code 2", (args) => {
  const { exit, out, err, code } = useBareHost().signet(...args);
  expect({ exit, out, code }).toEqual({ exit: 2, out: "", code: "USAGE" });
  expect(err.trimEnd().split("\n")).toHaveLength(1);
});
