import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { md5Twin, otherMd5Twin } from "../../test/helpers/md5-twins.ts";
import { decryptConf, encryptConf, MAX_CONF_BYTES } from "./conf.ts";
import { createContentSecret, unwrapContentKey, wrapContentKey } from "./content-key.ts";
import { digestsOf, sameDigests } from "./digests.ts";
import type { LicenseConf } from "./schema.ts";
import { formatJson } from "./strict-json.ts";

const attack = attacksOn("licenses");

const refusal = (code: string) => expect.objectContaining({ code });
const conf = {
  v: 1,
  product: "signet",
  licenseId: randomUUID(),
  sequence: 3,
  services: [
    {
      name: "demo",
      version: "1",
      files: [{ name: "libdemo.so", role: "library", ...digestsOf(Buffer.from("x")) }],
      config: { nested: { list: [1, "é"] } },
      entitlements: {},
      parameters: {},
      inputs: [],
      outputs: [{ name: "out", datatype: "FP32", shape: [1] }],
      limits: { runs: null, runTimeMs: null, jobTimeMs: null, concurrency: 1, notBefore: null, expires: null },
    },
  ],
} satisfies LicenseConf;

test("what is encrypted is decrypted, and padded to whole pages", () => {
  const secret = createContentSecret();
  const file = encryptConf(conf, secret);
  expect(file.length % 4096).toBe(0);
  expect(decryptConf(file, secret)).toEqual(conf);
});

test(
  "two issues of the same configuration share no keystream",
  attack("XORs two files of one configuration", "a repeated keystream"),
  () => {
    const [a, b] = [encryptConf(conf, createContentSecret()), encryptConf(conf, createContentSecret())];
    // With a repeated keystream the XOR of both files would be zero wherever the texts agree.
    const equal = a.filter((byte, index) => byte === b[index]).length;
    expect(equal / a.length).toBeLessThan(0.02);
    observed(`${equal} of ${a.length} bytes are equal, by chance`);
  },
);

test(
  "known text gives away nothing beyond itself: the keystream does not repeat within a file",
  attack("recovers the key of the XOR", "known text"),
  () => {
    const file = encryptConf(conf, createContentSecret());
    const known = formatJson(conf);
    const keystream = Buffer.from(known.slice(0, 64)).map((byte, index) => byte ^ file[index]!);
    for (const period of [16, 32, 64]) {
      const guess = Buffer.from(file.map((byte, index) => byte ^ keystream[index % period]!)).toString("latin1");
      expect(guess.slice(64, 128)).not.toBe(known.slice(64, 128));
    }
    observed("the next 64 bytes stay hidden, for periods of 16, 32 and 64");
  },
);

test("another key does not decrypt", () => {
  const file = encryptConf(conf, createContentSecret());
  expect(() => decryptConf(file, createContentSecret())).toThrow(refusal("CONF_UNDECIPHERABLE"));
  expect(() => decryptConf(file, randomBytes(32))).toThrow(refusal("CONF_UNDECIPHERABLE"));
  expect(() => decryptConf(Buffer.alloc(0), createContentSecret())).toThrow(refusal("CONF_UNDECIPHERABLE"));
});

test("a configuration with an unknown or a wrong field is refused", () => {
  const secret = createContentSecret();
  for (const wrong of [
    { ...conf, extra: 1 },
    { ...conf, sequence: 0 },
    { ...conf, services: [] },
    { ...conf, services: [{ ...conf.services[0]!, config: { entitlements: { all: true } } }] },
    { ...conf, services: [{ ...conf.services[0]!, maxBatchSize: 8 }] }, // with an output of one item
    { ...conf, services: [{ ...conf.services[0]!, needs: { gpus: 1 } }] }, // without how much of it
  ]) {
    expect(() => decryptConf(encryptConf(wrong as LicenseConf, secret), secret)).toThrow(refusal("CONF_INVALID"));
  }
});

test("a configuration beyond the size cap is not issued", () => {
  const parameters = { big: "x".repeat(MAX_CONF_BYTES) };
  const big = { ...conf, services: [{ ...conf.services[0]!, parameters }] };
  expect(() => encryptConf(big, createContentSecret())).toThrow(refusal("CONF_INVALID"));
});

const host = generateKeyPairSync("x25519");
const hostDer = host.publicKey.export({ format: "der", type: "spki" });
const binding = { licenseId: conf.licenseId, sequence: 3 };

test("a wrapped key opens with the host's key", () => {
  const secret = createContentSecret();
  expect(unwrapContentKey(wrapContentKey(secret, hostDer, binding), host.privateKey, binding)).toEqual(secret);
});

test(
  "a wrapped key opens neither with another host's key nor for another license or sequence",
  attack("opens the content key elsewhere", "another host's key"),
  () => {
    const wrapped = wrapContentKey(createContentSecret(), hostDer, binding);
    const open =
      (key = host.privateKey, bound = binding) =>
      () =>
        unwrapContentKey(wrapped, key, bound);
    const undecipherable = refusal("CONF_UNDECIPHERABLE");
    expect(open(generateKeyPairSync("x25519").privateKey)).toThrow(undecipherable);
    expect(open(host.privateKey, { ...binding, licenseId: randomUUID() })).toThrow(undecipherable);
    expect(open(host.privateKey, { ...binding, sequence: 4 })).toThrow(undecipherable);
  },
);

test(
  "a wrapped key with one changed bit does not open",
  attack("edits the wrapped content key", "every byte, one bit"),
  () => {
    const wrapped = wrapContentKey(createContentSecret(), hostDer, binding);
    for (const field of ["ephemeralKey", "nonce", "wrapped"] as const) {
      const bytes = Buffer.from(wrapped[field], "base64");
      for (const [index] of bytes.entries()) {
        const changed = Buffer.from(bytes);
        changed[index]! ^= 1 << (index % 8);
        const forged = { ...wrapped, [field]: changed.toString("base64") };
        expect(() => unwrapContentKey(forged, host.privateKey, binding)).toThrow(refusal("CONF_UNDECIPHERABLE"));
      }
    }
  },
);

test("a short tag, a point of low order and a key of another type do not open", () => {
  const wrapped = wrapContentKey(createContentSecret(), hostDer, binding);
  const lowOrder = Buffer.concat([hostDer.subarray(0, 12), Buffer.alloc(32)]);
  const ed25519 = generateKeyPairSync("ed25519").publicKey.export({ format: "der", type: "spki" });
  for (const change of [
    { wrapped: Buffer.from(wrapped.wrapped, "base64").subarray(0, -12).toString("base64") },
    { ephemeralKey: lowOrder.toString("base64") },
    { ephemeralKey: ed25519.toString("base64") },
    { ephemeralKey: "" },
  ]) {
    const forged = { ...wrapped, ...change };
    expect(() => unwrapContentKey(forged, host.privateKey, binding)).toThrow(refusal("CONF_UNDECIPHERABLE"));
  }
  expect(() => wrapContentKey(createContentSecret(), ed25519, binding)).toThrow(refusal("REQUEST_INVALID"));
});

test(
  "an MD5 collision does not pass: SHA-256 decides",
  attack("puts an MD5 twin in the place of license.conf", "a published MD5 collision"),
  () => {
    const [a, b] = [digestsOf(md5Twin), digestsOf(otherMd5Twin)];
    expect(a.md5).toBe("79054025255fb1a26e4bc422aef54eb4");
    expect(b.md5).toBe(a.md5);
    expect(sameDigests(a, b)).toBe(false);
    observed(`one MD5, told apart by SHA-256: ${a.sha256.slice(0, 8)}…, ${b.sha256.slice(0, 8)}…`);
  },
);

test("each of size, MD5 and SHA-256 counts", () => {
  const digests = digestsOf(Buffer.from("abc"));
  expect(sameDigests(digests, { ...digests })).toBe(true);
  expect(sameDigests(digests, { ...digests, size: 4 })).toBe(false);
  expect(sameDigests(digests, { ...digests, md5: "0".repeat(32) })).toBe(false);
  expect(sameDigests(digests, { ...digests, sha256: "0".repeat(64) })).toBe(false);
});
