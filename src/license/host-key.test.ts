import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { createHostKey, openHostKey } from "./host-key.ts";

const attack = attacksOn("the host's identity");

let parent: string;
let directory: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "signet-host-"));
  directory = join(parent, "host");
  path = join(directory, "host.key");
});
afterEach(() => rm(parent, { recursive: true }));

const refusal = (code: string) => expect.objectContaining({ code });
const pemOf = (type: "ed25519" | "x25519") =>
  generateKeyPairSync(type as "ed25519").privateKey.export({ format: "pem", type: "pkcs8" }) as string;

test("a key is made once and opened again as the same key", async () => {
  const made = await createHostKey(directory);
  const opened = await openHostKey(directory);
  expect(opened.signingPublic).toEqual(made.signingPublic);
  expect(opened.wrappingPublic).toEqual(made.wrappingPublic);
  const message = Buffer.from("hello");
  const publicKey = createPublicKey({ key: opened.signingPublic, format: "der", type: "spki" });
  expect(verify(null, message, publicKey, sign(null, message, made.signing))).toBe(true);
});

test("nobody else can read the key, and nothing else is left behind", async () => {
  await createHostKey(directory);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  expect(await readdir(directory)).toEqual(["host.key"]);
});

test(
  "a key that is there is never written over, not even through a link",
  attack("has the key written over", "a link in its place"),
  async () => {
    await createHostKey(directory);
    const before = await readFile(path);
    await expect(createHostKey(directory)).rejects.toThrow(refusal("FILE_EXISTS"));
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(directory)).toEqual(["host.key"]);

    const other = join(parent, "other");
    await mkdir(other);
    await symlink(join(parent, "stolen.key"), join(other, "host.key"));
    await expect(createHostKey(other)).rejects.toThrow(refusal("FILE_EXISTS"));
    expect(await readdir(parent)).not.toContain("stolen.key");
  },
);

test("two starts at once make one key", async () => {
  const results = await Promise.allSettled([createHostKey(directory), createHostKey(directory)]);
  expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("derived keys differ by purpose and host and stay the same", async () => {
  const made = await createHostKey(directory);
  const opened = await openHostKey(directory);
  const other = await createHostKey(join(parent, "other"));
  expect(opened.deriveKey("ledger")).toEqual(made.deriveKey("ledger"));
  expect(opened.deriveKey("ledger")).toHaveLength(32);
  expect(opened.deriveKey("other")).not.toEqual(made.deriveKey("ledger"));
  expect(other.deriveKey("ledger")).not.toEqual(made.deriveKey("ledger"));
});

test("no key means no key", async () => {
  await expect(openHostKey(directory)).rejects.toThrow(refusal("HOST_KEY_MISSING"));
});

test.each([0o640, 0o604, 0o660, 0o666, 0o644])(
  "a key with mode %o is refused",
  attack.each("reads a key that is open to others"),
  async (mode) => {
    await createHostKey(directory);
    await chmod(path, mode);
    await expect(openHostKey(directory)).rejects.toThrow(refusal("HOST_KEY_UNSAFE"));
  },
);

test(
  "a directory that others can write is refused",
  attack("exchanges the key's directory", "chmod 777 host/"),
  async () => {
    await createHostKey(directory);
    await chmod(directory, 0o777);
    await expect(openHostKey(directory)).rejects.toThrow(refusal("HOST_KEY_UNSAFE"));
  },
);

test.each([
  ["nothing", ""],
  ["noise", "hello\n"],
  ["one key", pemOf("ed25519")],
  ["the keys in the wrong order", pemOf("x25519") + pemOf("ed25519")],
  ["two keys of one kind", pemOf("ed25519") + pemOf("ed25519")],
  ["three keys", pemOf("ed25519") + pemOf("x25519") + pemOf("x25519")],
  ["a broken key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
  ["far too much", "A".repeat(100_000)],
])("a file with %s is not a host key", async (_, content) => {
  await mkdir(directory, { mode: 0o700 });
  await writeFile(path, content, { mode: 0o600 });
  await expect(openHostKey(directory)).rejects.toThrow(refusal("HOST_KEY_INVALID"));
});

test("a key cut short is refused at every length", async () => {
  await createHostKey(directory);
  const { size } = await stat(path);
  for (let length = size - 2; length >= 0; length -= 17) {
    await truncate(path, length);
    await expect(openHostKey(directory)).rejects.toThrow(refusal("HOST_KEY_INVALID"));
  }
});

test("a directory in the key's place is no key", async () => {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await expect(openHostKey(directory)).rejects.toThrow(refusal("FILE_UNREADABLE"));
});
