import { chmod, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { addTrustRoot, loadTrustRoots, parseTrustRoot, weaknessOfPlace } from "./trust-root.ts";
import { createAuthority, createKey, createVendor } from "./vendor.fixture.ts";

const attack = attacksOn("the host's identity");

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-trust-"));
});
afterEach(() => rm(directory, { recursive: true }));

const refusal = (code: string) => expect.objectContaining({ code });
const vendor = createVendor();
const pem = Buffer.from(vendor.root.certificate.toString());
const pemOf = (recipe: Partial<Parameters<typeof createAuthority>[0]>) =>
  Buffer.from(createAuthority({ name: "Root", key: createKey("ed25519"), ca: true, ...recipe }).certificate.toString());

test("a pinned root is loaded again under its key id", async () => {
  const added = await addTrustRoot(directory, pem);
  expect(await readdir(directory)).toEqual([`${added.keyId}.pem`]);
  const [loaded, ...more] = await loadTrustRoots(directory);
  expect(loaded!.certificate.raw).toEqual(vendor.root.certificate.raw);
  expect(more).toEqual([]);
});

test("the directory is made when it is not there", async () => {
  await addTrustRoot(join(directory, "a", "b"), pem);
  expect(await loadTrustRoots(join(directory, "a", "b"))).toHaveLength(1);
});

test("pinning the same root twice is said, not done", async () => {
  await addTrustRoot(directory, pem);
  await expect(addTrustRoot(directory, pem)).rejects.toThrow(refusal("FILE_EXISTS"));
  expect(await readdir(directory)).toHaveLength(1);
});

test("no directory and an empty directory mean that no root is pinned", async () => {
  await expect(loadTrustRoots(directory)).rejects.toThrow(refusal("TRUST_ROOT_MISSING"));
  await expect(loadTrustRoots(join(directory, "none"))).rejects.toThrow(refusal("TRUST_ROOT_MISSING"));
});

test.each([
  ["an issuer", Buffer.from(vendor.issuer.certificate.toString())],
  ["a self-signed certificate that is not a CA", pemOf({ ca: false })],
  ["a CA signed by another", pemOf({ by: vendor.root })],
  [
    "a CA with a root's name signed by another key",
    pemOf({ name: "Test Root", by: { ...vendor.root, key: createKey("ed25519") } }),
  ],
  ["a CA with a small RSA exponent", pemOf({ key: createKey("rsa", { modulusLength: 3072, publicExponent: 3 }) })],
  ["a CA with a short RSA key", pemOf({ key: createKey("rsa", { modulusLength: 2048, publicExponent: 65537 }) })],
  ["two certificates", Buffer.concat([pem, pem])],
  ["an empty file", Buffer.alloc(0)],
  ["a file that is no PEM", Buffer.from("hello")],
])("%s is no root", attack.each("has a false root pinned"), async (_, file) => {
  expect(() => parseTrustRoot(file)).toThrow(refusal("TRUST_ROOT_INVALID"));
  await expect(addTrustRoot(directory, file)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
  expect(await readdir(directory)).toEqual([]);
});

test(
  "a root under another name than its key id is refused",
  attack("hides a root under another name", "mv trust/KEYID.pem vendor.pem"),
  async () => {
    const { keyId } = await addTrustRoot(directory, pem);
    await rename(join(directory, `${keyId}.pem`), join(directory, "vendor.pem"));
    await expect(loadTrustRoots(directory)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
  },
);

test(
  "a root, or a directory of roots, that other users can write is refused",
  attack("pins a root of his own", "trust/ that others can write"),
  async () => {
    const { keyId } = await addTrustRoot(directory, pem);
    await chmod(join(directory, `${keyId}.pem`), 0o664);
    await expect(loadTrustRoots(directory)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
    await chmod(join(directory, `${keyId}.pem`), 0o644);
    await chmod(directory, 0o777);
    await expect(loadTrustRoots(directory)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
  },
);

test(
  "roots whose directory other users could replace by their own are refused",
  attack("exchanges the directory of roots", "a parent that others can write"),
  async () => {
    const roots = join(directory, "data", "trust");
    await addTrustRoot(roots, pem);
    await chmod(join(directory, "data"), 0o775);
    await expect(loadTrustRoots(roots)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
    await chmod(join(directory, "data"), 0o1777); // as /tmp is
    expect(await loadTrustRoots(roots)).toHaveLength(1);
  },
);

test.each([
  ["this user", 1000, 1000, true],
  ["root", 0, 1000, true],
  ["another user", 1001, 1000, false],
  ["a service's user whose roots root looks after", 1001, 0, true],
])("roots that belong to %s: %i seen by %i", (_, uid, self, isGood) => {
  for (const role of ["root", "roots", "above"] as const) {
    expect(weaknessOfPlace({ mode: 0o755, uid }, role, self) === undefined).toBe(isGood);
  }
});

test("a huge file among the roots is refused", async () => {
  await writeFile(join(directory, "big.pem"), Buffer.alloc(1024 * 1024, "A"));
  await expect(loadTrustRoots(directory)).rejects.toThrow(refusal("TRUST_ROOT_INVALID"));
});
