import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { dataDirectory } from "../config/index.ts";
import { SignetError } from "../errors.ts";
import {
  addTrustRoot,
  createHostKey,
  envelopeKinds,
  formatJson,
  openHostKey,
  type RevocationList,
  signEnvelope,
} from "../license/index.ts";
import { type Authority, createAuthority, createKey, createVendor } from "../license/vendor.fixture.ts";
import { openHostLedger } from "./host-ledger.ts";
import { installRevocationList, readRevocationLists } from "./revocations.ts";

const vendor = createVendor();
const [first, second] = [randomUUID(), randomUUID()];

function listBy({ key, certificate }: Authority, change: Partial<RevocationList>): Buffer {
  const issuedAt = "2026-03-01T12:00:00.000Z";
  const list = { v: 1, product: "signet", number: 1, issuedAt, licenses: [], issuers: [], ...change };
  const certificates = certificate.ca ? [] : [certificate];
  const payload = Buffer.from(formatJson(list as RevocationList));
  return Buffer.from(signEnvelope({ kind: envelopeKinds.revocation, payload, key, certificates }));
}

async function useHost({ hasLedger = true } = {}) {
  const root = mkdtempSync(join(tmpdir(), "signet-revocations-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const data = dataDirectory(join(root, "data"));
  await addTrustRoot(data.trustDir, Buffer.from(vendor.root.certificate.toString()));
  if (hasLedger) (await openHostLedger(data, await createHostKey(data.hostDir))).close();
  const install = async (list: Buffer) => {
    try {
      return (await installRevocationList(data, list)).list.number;
    } catch (error) {
      return SignetError.from(error).code;
    }
  };
  return { data, install };
}

test("a list takes the place of its signer's earlier one, beside those of other signers", async () => {
  const { data, install } = await useHost();
  expect(await install(listBy(vendor.issuer, { licenses: [first] }))).toBe(1);
  expect(await install(listBy(vendor.root, { number: 2, licenses: [first], issuers: ["0".repeat(64)] }))).toBe(2);
  expect(await install(listBy(vendor.issuer, { number: 3, licenses: [first, second] }))).toBe(3);
  expect((await readRevocationLists(data)).map(({ number }) => number).sort()).toEqual([2, 3]);
  expect(readdirSync(data.revocationDir)).toHaveLength(2);
});

test("a list that leaves out what was withdrawn is refused, signed or not", async () => {
  const { data, install } = await useHost();
  await install(listBy(vendor.root, { licenses: [first], issuers: ["0".repeat(64)] }));
  const kept = readdirSync(data.revocationDir).map((name) => readFileSync(join(data.revocationDir, name), "latin1"));
  expect(await install(listBy(vendor.root, { number: 2, issuers: ["0".repeat(64)] }))).toBe("REVOCATION_LIST_INVALID");
  expect(await install(listBy(vendor.root, { number: 2, licenses: [first] }))).toBe("REVOCATION_LIST_INVALID");
  // Two lists of one number, of which only one can be the vendor's.
  expect(await install(listBy(vendor.root, { licenses: [second] }))).toBe("REVOCATION_LIST_SUPERSEDED");
  const now = readdirSync(data.revocationDir).map((name) => readFileSync(join(data.revocationDir, name), "latin1"));
  expect(now).toEqual(kept);
});

test("who stole an issuer's key cannot withdraw licenses once the root has withdrawn that issuer", async () => {
  const { data, install } = await useHost();
  const honest = createAuthority({ name: "Next", key: createKey("ed25519"), by: vendor.root, usage: true });
  const { publicKey } = vendor.issuer.certificate;
  const { keyIdOf } = await import("../license/index.ts");
  expect(await install(listBy(vendor.root, { issuers: [keyIdOf(publicKey)] }))).toBe(1);
  expect(await install(listBy(vendor.issuer, { number: 9, licenses: [second] }))).toBe("REVOCATION_LIST_INVALID");
  expect(await install(listBy(honest, { number: 2, licenses: [first] }))).toBe(2);
  expect(await readRevocationLists(data)).toHaveLength(2);
});

test("the number is remembered by the ledger, which a running server may have", async () => {
  const { data, install } = await useHost();
  const file = listBy(vendor.root, { number: 5, licenses: [first] });
  const ledger = await openHostLedger(data, await openHostKey(data.hostDir));
  expect((await installRevocationList(data, file)).remembered).toBe(false);
  ledger.close();
  expect((await installRevocationList(data, file)).remembered).toBe(true);
  rmSync(data.revocationDir, { recursive: true });
  expect(await install(listBy(vendor.root, { number: 4, licenses: [first] }))).toBe("REVOCATION_LIST_SUPERSEDED");
  expect(await install(file)).toBe(5);
});

test("a host without a key takes lists too", async () => {
  const { install } = await useHost({ hasLedger: false });
  expect(await install(listBy(vendor.root, { licenses: [first] }))).toBe(1);
  expect(await install(Buffer.from("not a list"))).toBe("REVOCATION_LIST_INVALID");
});
