import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openHostKey } from "../../src/license/index.ts";
import { openHostLedger } from "../../src/service/index.ts";
import { attacksOn } from "../helpers/attack.ts";
import { type OperatedHost, useBareHost } from "../helpers/operator.ts";
import { runProgram } from "../helpers/programs.ts";
import { expectDone, fresh, request, spend, useVendorDesk, vendor } from "../helpers/vendor-desk.ts";

const attack = attacksOn("the vendor's desk");

/** What happens to licenses in real life, told with the real programs on both sides. */

const { desk, acme, issue, license, useFreshHost } = useVendorDesk();

const runsLeft = (host: OperatedHost) =>
  JSON.parse(host.signet("license", "status", "--json").out).services[0].runsLeft as number;
const trial = { validDays: 30, kind: "trial" };

describe("renewing", () => {
  test("needs no old file: the register knows the number, and carries on what was used", async () => {
    const host = useFreshHost();
    const id = license(host);
    await spend(host, id, 10);
    const renewed = issue(host, undefined, "--renew", id);
    expect(JSON.parse(expectDone(renewed).out)).toMatchObject({ licenseId: id, sequence: 2 });
    expectDone(host.signet("license", "install", renewed.bundle));
    expect(runsLeft(host)).toBe(990);
    // The old bundle's own file is behind the register by now.
    const again = issue(host, undefined, "--renew", join(renewed.bundle, "..", readFirstBundle(host), "license.lic"));
    expect(JSON.parse(expectDone(again).out)).toMatchObject({ licenseId: id, sequence: 3 });
    const shown = vendor("register", "show", "--vendor", acme, "--license", id, "--json");
    const lines = JSON.parse(expectDone(shown).out);
    expect(lines.map((line: { sequence: number }) => line.sequence)).toEqual([1, 2, 3]);
    expect(lines[1].ledger.totals).toMatchObject({ identity: { runs: 10 } });
  });

  test(
    "is refused to a host that was put back to an older state, unless the vendor accepts it with a reason",
    attack("puts the whole host back and asks for a renewal", "a copy of the data directory"),
    async () => {
      const host = useFreshHost();
      const id = license(host);
      const snapshot = fresh(host, "snapshot");
      cpSync(host.data.root, snapshot, { recursive: true });
      await spend(host, id, 50);
      expectDone(issue(host, undefined, "--renew", id));
      rmSync(host.data.root, { recursive: true });
      cpSync(snapshot, host.data.root, { recursive: true });
      // The host itself cannot tell: everything it has is of one moment.
      expectDone(host.signet("license", "verify"));
      expect(issue(host, undefined, "--renew", id)).toMatchObject({ exit: 3, code: "HOST_LEDGER_WENT_BACK" });
      expect(issue(host)).toMatchObject({ exit: 3, code: "HOST_LEDGER_WENT_BACK" });
      expect(issue(host, undefined, "--accept-rollback", " ")).toMatchObject({ exit: 2, code: "USAGE" });
      expectDone(issue(host, undefined, "--renew", id, "--accept-rollback", "restored after a fire, ticket 4711"));
      expect(vendor("register", "show", "--vendor", acme).out).toContain("ROLLBACK ACCEPTED: restored after a fire");
      expectDone(issue(host, undefined, "--renew", id));
    },
  );

  test(
    "of somebody else's license is refused",
    attack("renews another host's license", "--renew, --license-id"),
    () => {
      const [host, other] = [useFreshHost(), useFreshHost()];
      const id = license(host);
      expect(issue(other, undefined, "--renew", id)).toMatchObject({ exit: 3, code: "HOST_KEY_MISMATCH" });
      const byNumber = ["--license-id", id, "--sequence", "9"];
      expect(issue(other, undefined, ...byNumber)).toMatchObject({ exit: 3, code: "HOST_KEY_MISMATCH" });
      expect(issue(host, undefined, "--license-id", id, "--sequence", "1")).toMatchObject({ exit: 2, code: "USAGE" });
    },
  );
});

function readFirstBundle(host: OperatedHost): string {
  return readdirSync(host.directory)
    .filter((name) => /^\d+-bundle$/.test(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))[0]!;
}

test(
  "a trial is called one everywhere, and a host gets one",
  attack("asks for a second trial", "signet-license issue, twice"),
  () => {
    const host = useFreshHost();
    const id = license(host, trial);
    expect(host.signet("license", "status").out).toContain("a TRIAL");
    expect(host.signet("check").out).toContain("a TRIAL");
    expect(issue(host, trial)).toMatchObject({ exit: 3, code: "TRIAL_USED" });
    expect(issue(host, trial, "--renew", id)).toMatchObject({ exit: 3, code: "TRIAL_USED" });
    license(host, undefined, "--renew", id);
    expect(host.signet("license", "status").out).not.toContain("TRIAL");
    expectDone(issue(useFreshHost(), trial));
  },
);

describe("moving a license", () => {
  test(
    "takes what is left of it to another host, once, and it never comes back",
    attack("goes on using a license that was given back", "verify, check, install, renew, a second move"),
    async () => {
      const [old, next] = [useFreshHost(), useFreshHost()];
      const id = license(old);
      await spend(old, id, 300);
      const receipt = fresh(old, "receipt.pem");
      expectDone(old.signet("license", "deactivate", "--out", receipt));
      for (const command of [
        ["license", "verify"],
        ["check"],
        ["license", "install", join(old.directory, readFirstBundle(old))],
      ]) {
        expect(old.signet(...command)).toMatchObject({ exit: 3, code: "LICENSE_DEACTIVATED" });
      }
      expect(old.signet("license", "status")).toMatchObject({ exit: 0, code: "LICENSE_DEACTIVATED" });
      expect(vendor("inspect", receipt).out).toMatch(/given the license back for good[\s\S]*identity +300/);

      const moved = issue(next, undefined, "--moved-from", receipt);
      expectDone(moved);
      expectDone(next.signet("license", "install", moved.bundle));
      expect(runsLeft(next)).toBe(700);

      expect(issue(useFreshHost(), undefined, "--moved-from", receipt)).toMatchObject({
        exit: 3,
        code: "ALREADY_MOVED",
      });
      expect(issue(old, undefined, "--renew", id)).toMatchObject({ exit: 3, code: "ALREADY_MOVED" });
      const renewal = ["--license-id", id, "--sequence", "7"];
      expect(issue(old, undefined, ...renewal)).toMatchObject({ exit: 3, code: "ALREADY_MOVED" });
      // The old host may get another license, and its ledger goes on.
      license(old);
      expectDone(old.signet("license", "verify"));
    },
  );

  test("a lost receipt is made again, and a receipt that is there already gives nothing back", async () => {
    const host = useFreshHost();
    license(host);
    const receipt = fresh(host, "receipt.pem");
    writeFileSync(receipt, "mine");
    expect(host.signet("license", "deactivate", "--out", receipt)).toMatchObject({ exit: 2, code: "FILE_EXISTS" });
    expectDone(host.signet("license", "verify"));
    for (const out of [fresh(host, "a.pem"), fresh(host, "b.pem")]) {
      expectDone(host.signet("license", "deactivate", "--out", out));
      expect(existsSync(out)).toBe(true);
    }
  });

  test("a running server is not pulled from under its calls", async () => {
    const host = useFreshHost();
    license(host);
    const ledger = await openHostLedger(host.data, await openHostKey(host.data.hostDir));
    const receipt = fresh(host, "receipt.pem");
    expect(host.signet("license", "deactivate", "--out", receipt)).toMatchObject({ exit: 1, code: "LEDGER_BUSY" });
    ledger.close();
    expect(existsSync(receipt)).toBe(false);
    expectDone(host.signet("license", "verify"));
  });

  test(
    "a receipt of a host that the license was not issued for is refused, and so is a request",
    attack("moves another host's license", "a forged receipt, a request"),
    () => {
      const [host, thief] = [useFreshHost(), useFreshHost()];
      const stolen = license(host);
      license(thief);
      const own = fresh(thief, "own.pem");
      expectDone(thief.signet("license", "deactivate", "--out", own));
      const forged = readFileSync(own, "utf8").split("\n");
      const body = forged.slice(1, -2).join("");
      const dsse = JSON.parse(Buffer.from(body, "base64").toString());
      const payload = JSON.parse(Buffer.from(dsse.payload, "base64").toString());
      dsse.payload = Buffer.from(JSON.stringify({ ...payload, licenseId: stolen })).toString("base64");
      const lines = Buffer.from(JSON.stringify(dsse))
        .toString("base64")
        .replaceAll(/.{64}(?=.)/g, "$&\n");
      const file = fresh(thief, "forged.pem");
      writeFileSync(file, `${forged[0]}\n${lines}\n${forged.at(-2)}\n`);
      const refused = { exit: 3, code: "RECEIPT_INVALID" };
      expect(issue(useFreshHost(), undefined, "--moved-from", file)).toMatchObject(refused);
      expect(issue(useFreshHost(), undefined, "--moved-from", request(host))).toMatchObject(refused);
    },
  );
});

describe("withdrawing", () => {
  const revoke = (host: OperatedHost, ...what: string[]) => {
    const list = fresh(host, "list.crl");
    return { ...vendor("revoke", ...what, "--vendor", acme, "--out", list, "--json"), list };
  };

  test(
    "a license works from a USB stick, and neither an older list nor none brings it back",
    attack("brings a withdrawn license back", "an older list, none, another directory"),
    () => {
      const host = useFreshHost();
      const [id, later] = [license(host), license(useFreshHost())];
      const first = revoke(host, "--license", later);
      const second = revoke(host, "--license", id, "--reason", "not paid");
      expect(JSON.parse(second.out).licenses).toEqual(expect.arrayContaining([id, later]));
      expect(JSON.parse(second.out).number).toBe(JSON.parse(expectDone(first).out).number + 1);

      expectDone(host.signet("trust", "revocations", "add", first.list));
      expectDone(host.signet("license", "verify"));
      expectDone(host.signet("trust", "revocations", "add", second.list));
      expectDone(host.signet("trust", "revocations", "add", second.list));
      const revoked = { exit: 3, code: "LICENSE_REVOKED" };
      expect(host.signet("license", "verify")).toMatchObject(revoked);
      expect(host.signet("check")).toMatchObject(revoked);
      expect(host.signet("trust", "revocations", "list").out).toContain(id);

      const superseded = { exit: 3, code: "REVOCATION_LIST_SUPERSEDED" };
      expect(host.signet("trust", "revocations", "add", first.list)).toMatchObject(superseded);
      const [name] = readdirSync(host.data.revocationDir);
      cpSync(first.list, join(host.data.revocationDir, name!));
      expect(host.signet("license", "verify")).toMatchObject(superseded);
      rmSync(host.data.revocationDir, { recursive: true });
      expect(host.signet("license", "verify")).toMatchObject(superseded);
      expect(host.signet("trust", "revocations", "add", first.list)).toMatchObject(superseded);
      expectDone(host.signet("trust", "revocations", "add", second.list));
      expect(host.signet("license", "verify")).toMatchObject(revoked);
    },
  );

  test(
    "lists that are damaged or of another vendor are refused and change nothing",
    attack("stops a host by a false revocation list", "damaged, another vendor's"),
    () => {
      const host = useFreshHost();
      const id = license(host);
      const { list } = revoke(host, "--license", id);
      const text = readFileSync(list, "utf8");
      const damaged = fresh(host, "damaged.crl");
      writeFileSync(
        damaged,
        text.replace(/\n(.{20})./, (_, kept: string) => `\n${kept}~`),
      );
      const other = fresh(host, "other");
      expectDone(vendor("vendor", "init", "--name", "Other", "--out", other, "--issuer-algorithm", "ed25519"));
      const foreign = fresh(host, "foreign.crl");
      expectDone(vendor("revoke", "--license", id, "--vendor", other, "--out", foreign));
      for (const file of [damaged, foreign]) {
        const refused = { exit: 3, code: "REVOCATION_LIST_INVALID" };
        expect(host.signet("trust", "revocations", "add", file)).toMatchObject(refused);
      }
      expect(existsSync(host.data.revocationDir)).toBe(false);
      expectDone(host.signet("license", "verify"));
      // A vendor that is pinned here too, but did not issue the license, stops nothing either.
      expectDone(host.signet("trust", "add", join(other, "root.pem")));
      expectDone(host.signet("trust", "revocations", "add", foreign));
      expectDone(host.signet("license", "verify"));
      // Nor does its list, once its root is gone.
      const keyId = JSON.parse(vendor("inspect", join(other, "root.pem"), "--json").out).document.keyId;
      expectDone(host.signet("trust", "remove", keyId));
      expectDone(host.signet("license", "verify"));
    },
  );

  test.each([
    ["nothing", []],
    ["what is no license id", ["--license", "all"]],
    ["what is no issuer's key id", ["--issuer", "0".repeat(64)]],
  ])("%s is refused", (_, what) => {
    const host = useBareHost();
    const { list, ...ended } = revoke(host, ...what);
    expect(ended).toMatchObject({ exit: 2, code: "USAGE" });
    expect(existsSync(list)).toBe(false);
  });
});

describe("with a vendor of its own", () => {
  function useVendor(host: OperatedHost): string {
    const directory = fresh(host, "vendor");
    expectDone(vendor("vendor", "init", "--name", "ACME", "--out", directory, "--issuer-algorithm", "ed25519"));
    expectDone(host.signet("trust", "add", join(directory, "root.pem")));
    return directory;
  }

  function issueBy(directory: string, host: OperatedHost, env: Record<string, string>, ...flags: string[]) {
    const bundle = fresh(host, "bundle");
    const places = ["--request", request(host), "--services", join(desk.directory, "bundle.services.yaml")];
    const args = ["issue", ...places, "--vendor", directory, "--out", bundle, "--accept-weak", "--json", ...flags];
    return { ...runProgram("signet-license", args, env), bundle };
  }
  const typed = { SIGNET_PASSPHRASE: "correct horse battery staple" };

  test(
    "a stolen issuer is withdrawn by the root, and what the new one signs holds on hosts that know only the root",
    attack("goes on issuing with a stolen issuer's key", "after the root withdrew it"),
    () => {
      const host = useBareHost();
      const directory = useVendor(host);
      const { issuerKeyId: stolen } = JSON.parse(readFileSync(join(directory, "vendor.json"), "utf8"));
      const first = issueBy(directory, host, typed);
      expectDone(host.signet("license", "install", expectDone(first) && first.bundle));

      expectDone(vendor("vendor", "rotate", "--vendor", directory));
      expectDone(host.signet("license", "verify"));
      const list = fresh(host, "list.crl");
      expectDone(vendor("revoke", "--issuer", stolen, "--vendor", directory, "--out", list));
      expectDone(host.signet("trust", "revocations", "add", list));
      expect(host.signet("license", "verify")).toMatchObject({ exit: 3, code: "LICENSE_REVOKED" });

      const { licenseId } = JSON.parse(first.out);
      const renewed = issueBy(directory, host, typed, "--renew", licenseId);
      expectDone(host.signet("license", "install", expectDone(renewed) && renewed.bundle));
      // Later lists of the new issuer leave the root's in force.
      const next = fresh(host, "next.crl");
      expectDone(
        vendor("revoke", "--license", "00000000-0000-4000-8000-000000000000", "--vendor", directory, "--out", next),
      );
      expectDone(host.signet("trust", "revocations", "add", next));
      expectDone(host.signet("license", "verify"));
      expect(host.signet("license", "verify", first.bundle)).toMatchObject({ exit: 3, code: "LICENSE_REVOKED" });
      expectDone(vendor("register", "verify", "--vendor", directory));
    },
  );

  test("keys that stay in a security module sign through a command", () => {
    const host = useBareHost();
    const directory = useVendor(host);
    const { key, publicKey, command } = useSecurityModule(host, "rsa");
    expect(vendor("vendor", "rotate", "--vendor", directory, "--public-key", key)).toMatchObject({
      exit: 2,
      code: "VENDOR_KEY_UNREADABLE",
    });
    expectDone(vendor("vendor", "rotate", "--vendor", directory, "--public-key", publicKey));
    const issued = issueBy(directory, host, {}, "--signer-cmd", command);
    expectDone(host.signet("license", "install", expectDone(issued) && issued.bundle));

    const list = fresh(host, "list.crl");
    const { licenseId } = JSON.parse(issued.out);
    const revoke = ["revoke", "--license", licenseId, "--vendor", directory, "--out", list, "--signer-cmd", command];
    expectDone(runProgram("signet-license", revoke));
    expectDone(host.signet("trust", "revocations", "add", list));
    expect(host.signet("license", "verify")).toMatchObject({ exit: 3, code: "LICENSE_REVOKED" });

    const failed = issueBy(directory, host, {}, "--signer-cmd", "cat > /dev/null; echo AAAA");
    expect(failed).toMatchObject({ exit: 1, code: "VENDOR_SIGNER_FAILED" });
    expect(existsSync(failed.bundle)).toBe(false);
    const { lines } = JSON.parse(expectDone(vendor("register", "verify", "--vendor", directory, "--json")).out);
    expect(lines).toBe(3);
  });

  test.each(["rsa", "ed25519"] as const)(
    "a root that stays in a security module (%s) vouches for issuers, withdraws them, and is never asked to issue",
    (algorithm) => {
      const host = useBareHost();
      const root = useSecurityModule(host, algorithm);
      const issuer = useSecurityModule(host, algorithm);
      const directory = fresh(host, "vendor");
      const byRoot = ["--root-signer-cmd", root.command];
      const init = ["vendor", "init", "--name", "ACME Vision", "--out", directory];
      expect(vendor(...init, ...byRoot)).toMatchObject({ exit: 2, code: "USAGE" });
      expectDone(vendor(...init, ...byRoot, "--root-public-key", root.publicKey));
      expect(readdirSync(directory).sort()).toEqual(["issuer.key", "issuer.pem", "root.pem", "vendor.json"]);
      // Openssl agrees, as strictly as it can.
      const chain = ["-CAfile", join(directory, "root.pem"), join(directory, "issuer.pem")];
      execFileSync("openssl", ["verify", "-x509_strict", "-check_ss_sig", ...chain]);
      expectDone(host.signet("trust", "add", join(directory, "root.pem")));
      const first = issueBy(directory, host, typed);
      expectDone(host.signet("license", "install", expectDone(first) && first.bundle));

      // From here on no key is in this directory, and no passphrase is known.
      const { issuerKeyId: stolen } = JSON.parse(readFileSync(join(directory, "vendor.json"), "utf8"));
      rmSync(join(directory, "issuer.key"));
      const desk = (...args: string[]) => runProgram("signet-license", args);
      expectDone(desk("vendor", "rotate", "--vendor", directory, "--public-key", issuer.publicKey, ...byRoot));
      const list = fresh(host, "list.crl");
      expectDone(desk("revoke", "--issuer", stolen, "--vendor", directory, "--out", list, ...byRoot));
      expectDone(host.signet("trust", "revocations", "add", list));
      expect(host.signet("license", "verify")).toMatchObject({ exit: 3, code: "LICENSE_REVOKED" });
      const { licenseId } = JSON.parse(first.out);
      const renewed = issueBy(directory, host, {}, "--signer-cmd", issuer.command, "--renew", licenseId);
      expectDone(host.signet("license", "install", expectDone(renewed) && renewed.bundle));
      expectDone(host.signet("license", "verify"));
      expectDone(desk("register", "verify", "--vendor", directory));
    },
  );

  test(
    "a command that does not hold the root's key makes nothing",
    attack("signs as the root with another key", "--root-signer-cmd"),
    () => {
      const host = useBareHost();
      const root = useSecurityModule(host, "rsa");
      const other = useSecurityModule(host, "rsa");
      const directory = fresh(host, "vendor");
      const init = ["vendor", "init", "--name", "ACME", "--out", directory, "--root-public-key", root.publicKey];
      const refused = { exit: 1, code: "VENDOR_SIGNER_FAILED" };
      expect(vendor(...init, "--root-signer-cmd", other.command)).toMatchObject(refused);
      expect(existsSync(directory)).toBe(false);
      expectDone(vendor(...init, "--root-signer-cmd", root.command));
      const before = readFileSync(join(directory, "vendor.json"));
      const rotate = ["vendor", "rotate", "--vendor", directory, "--root-signer-cmd", other.command];
      expect(vendor(...rotate)).toMatchObject(refused);
      expect(vendor(...rotate, "--root-key", root.key)).toMatchObject({ exit: 2, code: "USAGE" });
      expect(readFileSync(join(directory, "vendor.json"))).toEqual(before);
      const list = fresh(host, "list.crl");
      const { issuerKeyId } = JSON.parse(before.toString());
      const revoke = ["revoke", "--vendor", directory, "--out", list, "--root-signer-cmd", other.command];
      expect(runProgram("signet-license", [...revoke, "--issuer", issuerKeyId])).toMatchObject(refused);
      const withoutIssuer = runProgram("signet-license", [
        ...revoke,
        "--license",
        "00000000-0000-4000-8000-000000000000",
      ]);
      expect(withoutIssuer).toMatchObject({ exit: 2, code: "USAGE" });
      expect(existsSync(list)).toBe(false);
    },
  );
});

/** A key that only openssl reads, in the place of a security module, and the command that signs with it. */
function useSecurityModule(host: OperatedHost, algorithm: "rsa" | "ed25519") {
  const [key, publicKey] = [fresh(host, "hsm.key"), fresh(host, "hsm.pub")];
  const kind = algorithm === "rsa" ? ["RSA", "-pkeyopt", "rsa_keygen_bits:3072"] : ["ED25519"];
  execFileSync("openssl", ["genpkey", "-algorithm", ...kind, "-out", key], { stdio: "ignore" });
  execFileSync("openssl", ["pkey", "-in", key, "-pubout", "-out", publicKey], { stdio: "ignore" });
  const pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32";
  const command = {
    rsa: `openssl dgst -sha256 ${pss} -sign '${key}' | openssl base64`,
    // openssl signs with Ed25519 from a file only.
    ed25519: `f=$(mktemp) && cat > "$f" && openssl pkeyutl -sign -rawin -inkey '${key}' -in "$f" | openssl base64; rm "$f"`,
  }[algorithm];
  return { key, publicKey, command };
}

test(
  "a register that was changed stops the desk until it is put right, and a cut one differs from the noted head",
  attack("edits and cuts the vendor's register", "a customer's name; the last line"),
  () => {
    const host = useFreshHost();
    const register = join(acme, "register.jsonl");
    license(host);
    const kept = readFileSync(register);
    const { head } = JSON.parse(vendor("register", "verify", "--vendor", acme, "--json").out);
    expectDone(vendor("register", "verify", "--vendor", acme, "--head", head));
    try {
      writeFileSync(register, kept.toString().replace("Example GmbH", "Example AG"));
      const refused = { exit: 3, code: "REGISTER_TAMPERED" };
      expect(vendor("register", "verify", "--vendor", acme)).toMatchObject(refused);
      expect(vendor("register", "show", "--vendor", acme)).toMatchObject(refused);
      expect(issue(host)).toMatchObject(refused);
      writeFileSync(register, `${kept.toString().trimEnd().split("\n").slice(0, -1).join("\n")}\n`);
      expectDone(vendor("register", "verify", "--vendor", acme));
      expect(vendor("register", "verify", "--vendor", acme, "--head", head)).toMatchObject(refused);
    } finally {
      writeFileSync(register, kept);
    }
  },
);
