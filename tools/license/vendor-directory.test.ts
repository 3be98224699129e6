import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseTrustRoot, verifyChain } from "../../src/license/index.ts";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { passphrase, useDirectory } from "./desk.fixture.ts";
import { createVendorDirectory, issuerAlgorithms, openVendorDirectory } from "./vendor-directory.ts";

const attack = attacksOn("the vendor's desk");

function create(directory: string, issuerAlgorithm: (typeof issuerAlgorithms)[number] = "ed25519") {
  return createVendorDirectory({ directory, name: "ACME Köln", passphrase, issuerAlgorithm });
}

describe.each(issuerAlgorithms)("a vendor whose issuer key is %s", (algorithm) => {
  test("has a root that hosts accept and an issuer that chains to it", async () => {
    const directory = join(useDirectory(), "acme");
    await create(directory, algorithm);
    const { vendor, issuer, signer } = await openVendorDirectory(directory, { passphrase });
    const root = parseTrustRoot(readFileSync(join(directory, "root.pem")));
    const trusted = verifyChain([issuer], [root.certificate]);
    expect(trusted.keyId).toBe(vendor.issuerKeyId);
    expect(root.keyId).toBe(vendor.rootKeyId);
    expect(signer.publicKey.asymmetricKeyType).toBe(algorithm);
    expect(root.certificate.subject).toContain("ACME Köln");
  });
});

test(
  "private keys are for their owner only, and nobody else enters the directory",
  attack("reads the vendor's keys as another user", "the modes of the files"),
  async () => {
    const directory = join(useDirectory(), "acme");
    await create(directory);
    expect(readdirSync(directory).sort()).toEqual(["issuer.key", "issuer.pem", "root.key", "root.pem", "vendor.json"]);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const file of ["issuer.key", "root.key"]) expect(statSync(join(directory, file)).mode & 0o777).toBe(0o600);
    observed("0700 for the directory, 0600 for the keys");
  },
);

test(
  "nothing that is already there is overwritten: a directory, a file or a link to nowhere",
  attack("has something written over", "a directory, a file, a link to nowhere"),
  async () => {
    const parent = useDirectory();
    mkdirSync(join(parent, "directory"));
    writeFileSync(join(parent, "file"), "mine");
    symlinkSync(join(parent, "nowhere"), join(parent, "link"));
    for (const name of ["directory", "file", "link"]) {
      expect(await codeOfAsync(() => create(join(parent, name)))).toBe("FILE_EXISTS");
    }
    expect(readFileSync(join(parent, "file"), "utf8")).toBe("mine");
  },
);

test("a failure leaves nothing behind", async () => {
  const parent = useDirectory();
  const input = {
    directory: join(parent, "acme"),
    name: "ACME",
    passphrase: "short",
    issuerAlgorithm: "ed25519",
  } as const;
  expect(await codeOfAsync(() => createVendorDirectory(input))).toBe("USAGE");
  expect(readdirSync(parent)).toEqual([]);
});

test("issuing works without the root's private key, and not with a wrong passphrase or another vendor's key", async () => {
  const [directory, other] = [join(useDirectory(), "acme"), join(useDirectory(), "other")];
  await Promise.all([create(directory), create(other)]);
  writeFileSync(join(directory, "root.key"), "moved to a safe");
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase }))).toBe("none");
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase: "wrong passphrase" }))).toBe(
    "VENDOR_KEY_UNREADABLE",
  );
  writeFileSync(join(directory, "issuer.key"), readFileSync(join(other, "issuer.key")));
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase }))).toBe("VENDOR_KEY_UNREADABLE");
  writeFileSync(join(directory, "root.pem"), readFileSync(join(other, "root.pem")));
  expect(await codeOfAsync(() => openVendorDirectory(directory, { passphrase }))).toBe("FILE_UNREADABLE");
});
