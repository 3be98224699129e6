import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { verifyChain } from "./certificates.ts";
import { envelopeKinds } from "./envelope.ts";
import { parseRevocationList, readRevocationListFile, verifyListsCurrent, verifyNotRevoked } from "./revocation.ts";
import type { License, RevocationList } from "./schema.ts";
import { signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";
import { type Authority, createAuthority, createKey, createVendor, issuedAt } from "./vendor.fixture.ts";

const attack = attacksOn("licenses");

const vendor = createVendor();
const roots = [vendor.trustRoot];
const issuer = verifyChain([vendor.issuer.certificate], [vendor.root.certificate]);
const license = { licenseId: randomUUID() } as License;
const invalid = expect.objectContaining({ code: "REVOCATION_LIST_INVALID" });
const revoked = expect.objectContaining({ code: "LICENSE_REVOKED" });

const listOf = (change: Partial<RevocationList> = {}): RevocationList => ({
  v: 1,
  product: "signet",
  number: 7,
  issuedAt: issuedAt.toISOString(),
  licenses: [],
  issuers: [],
  ...change,
});

const { keyId: rootKeyId } = vendor.trustRoot;
const signedBy = (signerKeyId: string, change: Partial<RevocationList> = {}) => ({
  ...listOf(change),
  rootKeyId,
  signerKeyId,
});

function signList(list: unknown, { key, certificate }: Authority, kind = envelopeKinds.revocation as object): Buffer {
  const certificates = certificate.ca ? [] : [certificate];
  const payload = Buffer.from(formatJson(list));
  return Buffer.from(
    signEnvelope({ ...{ kind: { ...envelopeKinds.revocation, ...kind } }, payload, key, certificates }),
  );
}

test("a list signed by the root or by an issuer is read", () => {
  const list = listOf({ licenses: [license.licenseId] });
  const byRoot = { ...list, rootKeyId, signerKeyId: rootKeyId };
  expect(parseRevocationList(signList(list, vendor.root), roots)).toEqual(byRoot);
  const byIssuer = { ...list, rootKeyId, signerKeyId: issuer.keyId };
  expect(parseRevocationList(signList(list, vendor.issuer), roots)).toEqual(byIssuer);
});

test("a license on any list is refused, another is not", () => {
  const lists = [signedBy(rootKeyId), signedBy(rootKeyId, { licenses: [license.licenseId] })];
  expect(() => verifyNotRevoked(license, issuer, lists)).toThrow(revoked);
  expect(() => verifyNotRevoked({ ...license, licenseId: randomUUID() }, issuer, lists)).not.toThrow();
  expect(() => verifyNotRevoked(license, issuer, [])).not.toThrow();
});

test("everything a withdrawn issuer signed is refused", () => {
  expect(() => verifyNotRevoked(license, issuer, [signedBy(rootKeyId, { issuers: [issuer.keyId] })])).toThrow(revoked);
});

test("another vendor's list stops nothing here", () => {
  const list = { ...signedBy(rootKeyId, { licenses: [license.licenseId], issuers: [issuer.keyId] }) };
  expect(() => verifyNotRevoked(license, issuer, [{ ...list, rootKeyId: "f".repeat(64) }])).not.toThrow();
});

test(
  "a list that was honored before must still be there, or a newer one of the same signer",
  attack("takes the revocation list away", "delete it, or put an older one there"),
  () => {
    const superseded = expect.objectContaining({ code: "REVOCATION_LIST_SUPERSEDED" });
    const honored = [signedBy(rootKeyId, { number: 4 }), signedBy(issuer.keyId, { number: 2 })];
    const verify = (lists: typeof honored) => () => verifyListsCurrent(issuer, lists, honored);
    expect(verify(honored)).not.toThrow();
    expect(verify([signedBy(rootKeyId, { number: 9 }), honored[1]!])).not.toThrow();
    expect(verify([])).toThrow(superseded);
    expect(verify([honored[0]!])).toThrow(superseded);
    expect(verify([signedBy(rootKeyId, { number: 3 }), honored[1]!])).toThrow(superseded);
    // A list of another signer is no substitute, however high its number: a thief of one key could sign any.
    expect(verify([honored[0]!, signedBy(rootKeyId, { number: 99 })])).toThrow(superseded);
    const elsewhere = honored.map((list) => ({ ...list, rootKeyId: "f".repeat(64) }));
    expect(() => verifyListsCurrent(issuer, [], elsewhere)).not.toThrow();
  },
);

test(
  "only the root withdraws issuers",
  attack("withdraws an issuer with an issuer's key", "issuers: [another], signed"),
  () => {
    const list = listOf({ issuers: ["0".repeat(64)] });
    expect(parseRevocationList(signList(list, vendor.root), roots)).toMatchObject(list);
    expect(() => parseRevocationList(signList(list, vendor.issuer), roots)).toThrow(invalid);
  },
);

test(
  "a list of another vendor, or of nobody, is refused",
  attack("withdraws with a list of his own", "another vendor's, or nobody's"),
  () => {
    const other = createVendor();
    expect(() => parseRevocationList(signList(listOf(), other.root), roots)).toThrow(invalid);
    expect(() => parseRevocationList(signList(listOf(), other.issuer), roots)).toThrow(invalid);
    expect(() => parseRevocationList(signList(listOf(), vendor.root), [])).toThrow(invalid);
  },
);

test("a list signed outside the issuer's time is refused", () => {
  const from = new Date("2027-01-01T00:00:00Z");
  const later = createAuthority({ name: "Later", key: createKey("ed25519"), by: vendor.root, usage: true, from });
  expect(() => parseRevocationList(signList(listOf(), later), roots)).toThrow(invalid);
});

test(
  "a license is not a list, even with a list inside",
  attack("replays a license as a revocation list", "payload type confusion"),
  () => {
    const type = { payloadType: envelopeKinds.license.payloadType };
    expect(() => parseRevocationList(signList(listOf(), vendor.issuer, type), roots)).toThrow(invalid);
  },
);

test("one changed bit anywhere is noticed", attack("edits a revocation list", "one bit of every byte"), () => {
  const file = signList(listOf({ licenses: [license.licenseId] }), vendor.issuer);
  for (const [index] of file.entries()) {
    const changed = Buffer.from(file);
    changed[index]! ^= 1 << (index % 8);
    expect(() => parseRevocationList(changed, roots), `byte ${index}`).toThrow(invalid);
  }
});

test("an unknown field is refused, though it is signed", () => {
  expect(() => parseRevocationList(signList({ ...listOf(), extra: 1 }, vendor.root), roots)).toThrow(invalid);
});

test("a pipe or a huge file in the place of a list is refused, and neither waited for nor read to its end", async () => {
  const directory = await mkdtemp(join(tmpdir(), "signet-test-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const [pipe, huge] = [join(directory, "pipe.crl"), join(directory, "huge.crl")];
  execFileSync("mkfifo", [pipe]);
  await writeFile(huge, Buffer.alloc(envelopeKinds.revocation.maxBytes + 1));
  await expect(readRevocationListFile(pipe)).rejects.toThrow(expect.objectContaining({ code: "FILE_UNREADABLE" }));
  await expect(readRevocationListFile(huge)).rejects.toThrow(invalid);
});
