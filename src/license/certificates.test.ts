import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { isIssuedBy, subjectOf, verifyChain, verifyIssuedInTime } from "./certificates.ts";
import { createAuthority, createKey, createVendor, issuedAt } from "./vendor.fixture.ts";

const attack = attacksOn("licenses");

const vendor = createVendor();
const roots = [vendor.root.certificate];
const untrusted = expect.objectContaining({ code: "LICENSE_UNTRUSTED" });
const ed25519 = () => createKey("ed25519");

test("an issuer below a pinned root is trusted, with RSA as with Ed25519", () => {
  for (const { root, issuer } of [vendor, createVendor("rsa")]) {
    const trusted = verifyChain([issuer.certificate], [vendor.root.certificate, root.certificate]);
    expect(trusted.certificate).toBe(issuer.certificate);
    expect(trusted.chain).toEqual([issuer.certificate, root.certificate]);
  }
});

test("an issuer below an intermediate is trusted", () => {
  const middle = createAuthority({ name: "Middle", key: ed25519(), by: vendor.root, ca: true });
  const issuer = createAuthority({ name: "Issuer", key: ed25519(), by: middle, usage: true });
  expect(verifyChain([issuer.certificate, middle.certificate], roots).chain).toHaveLength(3);
});

test(
  "an issuer of a root that is not pinned is refused, also one with the pinned root's name",
  attack("signs below a root of his own", "with the pinned root's name"),
  () => {
    const other = createVendor();
    expect(other.root.certificate.subject).toBe(vendor.root.certificate.subject);
    expect(() => verifyChain([other.issuer.certificate], roots)).toThrow(untrusted);
    expect(() => verifyChain([vendor.issuer.certificate], [])).toThrow(untrusted);
  },
);

test(
  "a root brought along in the file is not believed",
  attack("brings a root along", "his root in license.lic"),
  () => {
    const other = createVendor();
    expect(() => verifyChain([other.issuer.certificate, other.root.certificate], roots)).toThrow(untrusted);
  },
);

test.each([false, true])(
  "a leaf cannot act as a CA, though the signature and the names fit (bare: %s)",
  attack.each("has a leaf act as a CA"),
  (bare) => {
    const leaf = createAuthority({ name: "Leaf", key: ed25519(), by: vendor.root, usage: true, bare });
    const rogue = createAuthority({ name: "Rogue", key: ed25519(), by: leaf, usage: true });
    expect(rogue.certificate.verify(leaf.certificate.publicKey)).toBe(true);
    // Where the leaf says nothing of its use, Node's two methods see no fault: hence isIssuedBy asks for more.
    expect(rogue.certificate.checkIssued(leaf.certificate)).toBe(bare);
    expect(isIssuedBy(rogue.certificate, leaf.certificate)).toBe(false);
    expect(() => verifyChain([rogue.certificate, leaf.certificate], roots)).toThrow(untrusted);
  },
);

test(
  "a root, a CA or a certificate for another purpose does not sign licenses",
  attack("signs with a certificate for something else", "a root, a CA, a web server's"),
  () => {
    const ca = createAuthority({ name: "CA", key: ed25519(), by: vendor.root, ca: true, usage: true });
    const server = createAuthority({ name: "Web server", key: ed25519(), by: vendor.root });
    expect(() => verifyChain([vendor.root.certificate], roots)).toThrow(untrusted);
    expect(() => verifyChain([ca.certificate], roots)).toThrow(untrusted);
    expect(() => verifyChain([server.certificate], roots)).toThrow(untrusted);
  },
);

test("no certificate, or more than two, are refused", () => {
  const middle = createAuthority({ name: "Middle", key: ed25519(), by: vendor.root, ca: true });
  const lower = createAuthority({ name: "Lower", key: ed25519(), by: middle, ca: true });
  const issuer = createAuthority({ name: "Issuer", key: ed25519(), by: lower, usage: true });
  expect(() => verifyChain([], roots)).toThrow(untrusted);
  expect(() =>
    verifyChain(
      [issuer, lower, middle].map((one) => one.certificate),
      roots,
    ),
  ).toThrow(untrusted);
});

test(
  "a certificate altered after signing is refused",
  attack("alters a certificate", "another key below the vendor's name"),
  () => {
    const other = createAuthority({
      name: "Test Issuer",
      key: ed25519(),
      by: { ...vendor.root, key: ed25519() },
      usage: true,
    });
    expect(() => verifyChain([other.certificate], roots)).toThrow(untrusted);
  },
);

test.each([
  ["a small exponent, which invites forged padding", { modulusLength: 3072, publicExponent: 3 }],
  ["a short modulus", { modulusLength: 2048, publicExponent: 65537 }],
])("an issuer's RSA key with %s is refused", attack.each("makes a key that can be forged or broken"), (_, rsa) => {
  const issuer = createAuthority({ name: "Issuer", key: createKey("rsa", rsa), by: vendor.root, usage: true });
  expect(() => verifyChain([issuer.certificate], roots)).toThrow(untrusted);
});

test("a key that is neither RSA nor Ed25519 is refused", () => {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = createAuthority({ name: "Issuer", key, by: vendor.root, usage: true });
  expect(() => verifyChain([issuer.certificate], roots)).toThrow(untrusted);
});

test("a certificate signed with SHA-1 is refused", attack("signs the certificate with SHA-1", "a weak digest"), () => {
  const { root } = createVendor("rsa");
  const weak = createAuthority({ name: "Issuer", key: ed25519(), by: root, usage: true, sha1: true });
  const strong = createAuthority({ name: "Issuer", key: ed25519(), by: root, usage: true });
  expect(() => verifyChain([weak.certificate], [root.certificate])).toThrow(untrusted);
  expect(verifyChain([strong.certificate], [root.certificate])).toBeDefined();
});

test("the issuer was valid at the moment of issue, not before and not after", () => {
  const from = new Date("2026-02-01T00:00:00Z");
  const to = new Date("2026-04-01T00:00:00Z");
  const issuer = createAuthority({ name: "Issuer", key: ed25519(), by: vendor.root, usage: true, from, to });
  const trusted = verifyChain([issuer.certificate], roots);
  expect(() => verifyIssuedInTime(trusted, issuedAt)).not.toThrow();
  expect(() => verifyIssuedInTime(trusted, new Date(from.getTime() - 1000))).toThrow(untrusted);
  expect(() => verifyIssuedInTime(trusted, new Date(to.getTime() + 1000))).toThrow(untrusted);
});

test("a certificate's subject is shown on one line without terminal commands", () => {
  const { certificate } = createAuthority({ name: "Evil\u001b[2J\nCN=Root", key: ed25519() });
  expect(subjectOf(certificate)).not.toMatch(/[\u001b\n]/);
});
