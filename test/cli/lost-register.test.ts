import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import type { OperatedHost } from "../helpers/operator.ts";
import type { Ended } from "../helpers/programs.ts";
import { expectDone, fresh, spend, useVendorDesk, vendor } from "../helpers/vendor-desk.ts";

/** A vendor whose register is lost, and what is left of it in the files that were sent and received. */

const { desk, acme, issue, license, useFreshHost } = useVendorDesk();
const register = join(acme, "register.jsonl");

beforeEach(() => rmSync(register, { force: true }));

function withdraw(host: OperatedHost, licenseId: string): { readonly list: string; readonly number: number } {
  const list = fresh(host, "list.crl");
  const revoke = ["revoke", "--license", licenseId, "--vendor", acme, "--out", list, "--json"];
  return { list, number: JSON.parse(expectDone(vendor(...revoke)).out).number };
}

function rebuild(hosts: readonly OperatedHost[], ...flags: string[]): Ended {
  const places = hosts.flatMap(({ directory }) =>
    readdirSync(directory)
      .filter((name) => /^\d+-.*(?<!yaml)$/.test(name))
      .map((name) => join(directory, name)),
  );
  return vendor("register", "rebuild", ...places, "--vendor", acme, ...flags);
}

test("a lost register is rebuilt from bundles, requests, lists and receipts, says so, and decides as it did", async () => {
  const [host, tried, old, next] = [useFreshHost(), useFreshHost(), useFreshHost(), useFreshHost()];
  const id = license(host);
  const snapshot = join(host.directory, "snapshot");
  cpSync(host.data.root, snapshot, { recursive: true });
  await spend(host, id, 10);
  license(host, undefined, "--renew", id);
  license(tried, { validDays: 30, kind: "trial" });
  withdraw(tried, "00000000-0000-4000-8000-000000000000");
  const last = withdraw(tried, "11111111-1111-4111-8111-111111111111");
  expectDone(tried.signet("trust", "revocations", "add", last.list));
  license(old);
  const receipt = fresh(old, "receipt.pem");
  expectDone(old.signet("license", "deactivate", "--out", receipt));
  license(next, undefined, "--moved-from", receipt);
  const before = JSON.parse(vendor("register", "verify", "--vendor", acme, "--json").out);
  rmSync(register);

  const rebuilt = expectDone(rebuild([host, tried, old, next], "--json"));
  const found = JSON.parse(rebuilt.out);
  expect(found).toMatchObject({ licenses: 5, withoutRequest: 0, lists: 2, receipts: 1, listNumber: 2 });
  expect(found.lines).toBe(before.lines + 1);
  expectDone(vendor("register", "verify", "--vendor", acme, "--head", found.head));
  expect(vendor("register", "show", "--vendor", acme).out).toMatch(/^1 .* REBUILT +the next 7 lines/m);

  expect(JSON.parse(expectDone(issue(host, undefined, "--renew", id)).out)).toMatchObject({ sequence: 3 });
  expect(issue(tried, { validDays: 30, kind: "trial" })).toMatchObject({ exit: 3, code: "TRIAL_USED" });
  expect(issue(next, undefined, "--moved-from", receipt)).toMatchObject({ exit: 3, code: "ALREADY_MOVED" });
  const following = withdraw(tried, "22222222-2222-4222-8222-222222222222");
  expect(following.number).toBe(3);
  expectDone(tried.signet("trust", "revocations", "add", following.list));
  rmSync(host.data.root, { recursive: true });
  cpSync(snapshot, host.data.root, { recursive: true });
  expect(issue(host)).toMatchObject({ exit: 3, code: "HOST_LEDGER_WENT_BACK" });
});

test("what is not found is said: requests, and the number of lists, which the vendor may know", () => {
  const host = useFreshHost();
  const { bundle } = expectDone(issue(host)) && issue(host);
  rmSync(register);
  const rebuilt = expectDone(vendor("register", "rebuild", bundle, "--vendor", acme));
  expect(rebuilt.err).toContain("1 license without its request");
  expect(rebuilt.err).toContain("--revocation-number");
  expect(withdraw(host, "00000000-0000-4000-8000-000000000000").number).toBe(1);
  rmSync(register);
  expectDone(vendor("register", "rebuild", bundle, "--vendor", acme, "--revocation-number", "41"));
  expect(withdraw(host, "00000000-0000-4000-8000-000000000000").number).toBe(42);
});

test("a file that was changed or is another vendor's makes no register, nor does one that is there", () => {
  const host = useFreshHost();
  const issued = issue(host);
  expectDone(issued);
  const present = { exit: 2, code: "FILE_EXISTS" };
  expect(rebuild([host])).toMatchObject(present);
  rmSync(register);

  const file = join(issued.bundle, "license.lic");
  const kept = readFileSync(file, "utf8");
  const middle = Math.floor(kept.indexOf("-----END") / 2);
  writeFileSync(file, kept.slice(0, middle) + (kept[middle] === "A" ? "B" : "A") + kept.slice(middle + 1));
  expect(rebuild([host]).code).toMatch(/^LICENSE_(MALFORMED|SIGNATURE_INVALID|PAYLOAD_INVALID)$/);
  writeFileSync(file, kept);

  const other = join(host.directory, "other");
  expectDone(vendor("vendor", "init", "--name", "Other", "--out", other, "--issuer-algorithm", "ed25519"));
  expect(vendor("register", "rebuild", file, "--vendor", other)).toMatchObject({ exit: 3, code: "LICENSE_UNTRUSTED" });
  expect(vendor("register", "rebuild", desk.root, "--vendor", acme)).toMatchObject({ exit: 2, code: "USAGE" });
  expect(vendor("register", "rebuild", other, "--vendor", acme)).toMatchObject({ exit: 2, code: "USAGE" });
  expect([existsSync(register), existsSync(join(other, "register.jsonl"))]).toEqual([false, false]);
});
