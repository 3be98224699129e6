import { type createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { authorizeLicense, parseTrustRoot } from "../../src/license/index.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { type Host, passphrase, useDescription, useDirectory, useHost } from "./desk.fixture.ts";
import { createLicenseNumber, issueLicense } from "./issue-license.ts";
import { loadServiceDescription } from "./service-description.ts";
import {
  createVendorDirectory,
  openRoot,
  openVendorDirectory,
  readVendorCertificates,
  rotateIssuer,
} from "./vendor-directory.ts";

const YEAR_MS = 365 * 24 * 3600 * 1000;
const inYears = (years: number) => new Date(Date.now() + years * YEAR_MS);

async function useVendor() {
  const directory = join(useDirectory(), "acme");
  await createVendorDirectory({ directory, name: "ACME", passphrase, issuerAlgorithm: "ed25519" });
  const { root } = await readVendorCertificates(directory);
  const rootSigner = await openRoot(join(directory, "root.key"), passphrase, root);
  const rotate = (now: Date) =>
    rotateIssuer({ directory, rootSigner, issuer: { algorithm: "ed25519", passphrase }, now });
  return { directory, root, rootSigner, rotate };
}

async function issue(directory: string, host: Host, now: Date, expires: Date): Promise<string> {
  const services = [{ name: "echo", library: nativeLibrary("identity") }];
  const license = { expires: expires.toISOString() };
  const out = join(useDirectory(), "bundle");
  await issueLicense({
    request: host.request,
    description: await loadServiceDescription(useDescription({ customer: "c", license, services }), now),
    vendor: await openVendorDirectory(directory, { passphrase }),
    number: createLicenseNumber(),
    acceptWeak: false,
    out,
    now,
  });
  return out;
}

test("a license holds for years after its issuer's certificate has ended, and that issuer signs no more", async () => {
  const { directory, root, rotate } = await useVendor();
  const host = await useHost();
  const bundle = await issue(directory, host, new Date(), inYears(6));
  const { validToDate } = (await readVendorCertificates(directory)).issuer;
  const authorize = (now: Date) =>
    authorizeLicense({
      licenseFile: readFileSync(join(bundle, "license.lic")),
      confFile: readFileSync(join(bundle, "license.conf")),
      roots: [parseTrustRoot(Buffer.from(root.toString()))],
      revocationLists: [],
      revocationNumbers: [],
      highestSequence: () => 0,
      isDeactivated: () => false,
      now,
      hostKey: host.key,
      machine: host.machine,
    });
  expect(validToDate < inYears(3)).toBe(true);
  expect(await codeOfAsync(() => authorize(inYears(5)))).toBe("none");
  expect(await codeOfAsync(() => issue(directory, host, inYears(3), inYears(6)))).toBe("LICENSE_UNTRUSTED");
  await rotate(inYears(3));
  expect(await codeOfAsync(() => issue(directory, host, inYears(3), inYears(6)))).toBe("none");
  expect(await codeOfAsync(() => authorize(inYears(5)))).toBe("none");
  expect(await codeOfAsync(() => authorize(inYears(7)))).toBe("LICENSE_EXPIRED");
});

test("a new issuer touches nothing of the old one, and is in charge only once vendor.json says so", async () => {
  const { directory, rotate } = await useVendor();
  const kept = ["issuer.pem", "issuer.key", "root.pem", "root.key"].map((name) => readFileSync(join(directory, name)));
  const before = readFileSync(join(directory, "vendor.json"));
  const old = await readVendorCertificates(directory);
  const { issuer } = await rotate(new Date());
  const after = await readVendorCertificates(directory);
  expect(after.issuer.fingerprint256).toBe(issuer.fingerprint256);
  expect(after.issuers).toHaveLength(2);
  expect(
    ["issuer.pem", "issuer.key", "root.pem", "root.key"].map((name) => readFileSync(join(directory, name))),
  ).toEqual(kept);
  // As a power cut right before the last step would leave it.
  writeFileSync(join(directory, "vendor.json"), before);
  expect((await readVendorCertificates(directory)).issuer.fingerprint256).toBe(old.issuer.fingerprint256);
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase }))).toBe("none");
});

test("a weak key, the same key twice and another vendor's root make no issuer", async () => {
  const { directory, root, rootSigner } = await useVendor();
  const rotate = (publicKey: ReturnType<typeof createPublicKey>) =>
    codeOfAsync(() => rotateIssuer({ directory, rootSigner, issuer: { publicKey } }));
  expect(await rotate(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey)).toBe("VENDOR_KEY_UNREADABLE");
  expect(await rotate(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey)).toBe("VENDOR_KEY_UNREADABLE");
  const { publicKey } = generateKeyPairSync("ed25519");
  expect(await rotate(publicKey)).toBe("none");
  expect(await rotate(publicKey)).toBe("FILE_EXISTS");
  const other = await useVendor();
  const stolen = join(other.directory, "root.key");
  expect(await codeOfAsync(() => openRoot(stolen, passphrase, root))).toBe("VENDOR_KEY_UNREADABLE");
  // Without its key here, the new issuer signs only by a command.
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase }))).toBe("VENDOR_KEY_UNREADABLE");
});
