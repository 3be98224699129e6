import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { type AuthorizationInput, authorizeLicense, verifySignedLicense } from "./authorize.ts";
import { digestsOf } from "./digests.ts";
import { envelopeKinds, formatEnvelope, parseEnvelope } from "./envelope.ts";
import { createHostKey, type HostKey } from "./host-key.ts";
import type { Machine } from "./machine-fact.ts";
import { createHostRequest, parseHostRequest } from "./request.ts";
import type { HostRequest, License, LicenseConf } from "./schema.ts";
import { signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";
import {
  createAuthority,
  createKey,
  createVendor,
  type Issued,
  issuedAt,
  issueLicense,
  signLicense,
} from "./vendor.fixture.ts";
import { verifyConfDigests } from "./verify.ts";

const attack = attacksOn("licenses");

const vendor = createVendor();
const machine: Machine = {
  platform: "physical",
  facts: [
    { type: "system-uuid", value: "uuid-1", weight: 4 },
    { type: "board-serial", value: "board-1", weight: 3 },
    { type: "machine-id", value: "id-1", weight: 1 },
  ],
  unreadable: [],
  os: "Debian",
  arch: "x64",
};

let directory: string;
let hostKey: HostKey;
let request: HostRequest;
let issued: Issued;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-authorize-"));
  hostKey = await createHostKey(join(directory, "host"));
  request = parseHostRequest(Buffer.from(await createHostRequest({ hostKey, machine })));
  issued = issueLicense(vendor, request);
});
afterAll(() => rm(directory, { recursive: true }));

const refusal = (code: string) => expect.objectContaining({ code });

function authorize({ licenseFile, confFile }: Issued, change: Partial<AuthorizationInput> = {}) {
  return authorizeLicense({
    licenseFile,
    confFile,
    roots: [vendor.trustRoot],
    revocationLists: [],
    revocationNumbers: [],
    highestSequence: () => 0,
    isDeactivated: () => false,
    now: issuedAt,
    hostKey,
    machine,
    ...change,
  });
}

test("a license holds on the host it was issued for", async () => {
  const { license, conf, time, fingerprint, issuer } = await authorize(issued);
  expect(license).toEqual(issued.license);
  expect(conf).toEqual(issued.conf);
  expect(time.phase).toBe("valid");
  expect(fingerprint.changedTypes).toEqual([]);
  expect(issuer.certificate.raw).toEqual(vendor.issuer.certificate.raw);
});

test("a vendor with RSA keys is served as one with Ed25519", async () => {
  const rsa = createVendor("rsa");
  const roots = [vendor.trustRoot, rsa.trustRoot];
  expect((await authorize(issueLicense(rsa, request), { roots })).license.vendor).toBe("ACME");
});

test("a license outlives the certificate that signed it", async () => {
  const to = new Date(issuedAt.getTime() + 1000);
  const signer = createAuthority({ name: "Issuer", key: createKey("ed25519"), by: vendor.root, usage: true, to });
  const now = new Date("2026-12-01T00:00:00Z");
  expect((await authorize(issueLicense(vendor, request, { signer }), { now })).time.phase).toBe("valid");
});

test("one changed bit anywhere in license.lic is noticed", attack("edits license.lic", "one bit of every byte"), () => {
  const codes = new Set<string>();
  for (const [index] of issued.licenseFile.entries()) {
    const changed = Buffer.from(issued.licenseFile);
    changed[index]! ^= 1 << (index % 8);
    try {
      verifySignedLicense(changed, [vendor.trustRoot]);
    } catch (error) {
      codes.add((error as { code: string }).code);
      continue;
    }
    expect.unreachable(`a change in byte ${index} was not noticed`);
  }
  expect([...codes].sort()).toEqual(["LICENSE_MALFORMED", "LICENSE_SIGNATURE_INVALID", "LICENSE_UNTRUSTED"]);
  observed(`refused ${issued.licenseFile.length} times`);
});

test(
  "one changed bit anywhere in license.conf is noticed before it is decrypted",
  attack("edits license.conf", "one bit of every byte"),
  () => {
    for (const [index] of issued.confFile.entries()) {
      const changed = Buffer.from(issued.confFile);
      changed[index]! ^= 1 << (index % 8);
      expect(() => verifyConfDigests(issued.license, changed)).toThrow(refusal("CONF_DIGEST_MISMATCH"));
    }
  },
);

test(
  "a license or a configuration cut short or made longer is noticed",
  attack("cuts or extends the files", "bytes less, bytes more"),
  async () => {
    const { licenseFile, confFile } = issued;
    for (const length of [0, 1, 100, licenseFile.length - 2]) {
      const cut = { ...issued, licenseFile: licenseFile.subarray(0, length) };
      await expect(authorize(cut)).rejects.toThrow(refusal("LICENSE_MALFORMED"));
    }
    for (const changed of [confFile.subarray(0, -1), Buffer.concat([confFile, Buffer.alloc(1)]), Buffer.alloc(0)]) {
      await expect(authorize({ ...issued, confFile: changed })).rejects.toThrow(refusal("CONF_DIGEST_MISMATCH"));
    }
  },
);

describe("a forger", () => {
  const forge = (signer = vendor.issuer, chain = [vendor.issuer.certificate]) =>
    signLicense({ ...issued.license, expires: "2099-01-01T00:00:00Z" }, signer, chain);
  const verifying = (file: Uint8Array) => () => verifySignedLicense(file, [vendor.trustRoot]);

  test(
    "with a key of his own cannot use the vendor's certificate",
    attack("forges a signature", "his key under the vendor's certificate"),
    () => {
      const thief = { ...vendor.issuer, key: createKey("ed25519") };
      expect(verifying(forge(thief))).toThrow(refusal("LICENSE_SIGNATURE_INVALID"));
      const envelope = parseEnvelope(forge(thief), envelopeKinds.license);
      const keyId = parseEnvelope(issued.licenseFile, envelopeKinds.license).keyId;
      const renamed = Buffer.from(formatEnvelope({ ...envelope, keyId }));
      expect(verifying(renamed)).toThrow(refusal("LICENSE_SIGNATURE_INVALID"));
    },
  );

  test("cannot move a signature to other bytes", attack("moves a signature", "other bytes below it"), () => {
    const { signature, keyId } = parseEnvelope(issued.licenseFile, envelopeKinds.license);
    const envelope = parseEnvelope(forge(), envelopeKinds.license);
    const moved = Buffer.from(formatEnvelope({ ...envelope, signature, keyId }));
    expect(verifying(moved)).toThrow(refusal("LICENSE_SIGNATURE_INVALID"));
  });

  test("cannot leave the signature away", attack("leaves the signature away", "no, or an empty one"), () => {
    const envelope = parseEnvelope(issued.licenseFile, envelopeKinds.license);
    const bare = Buffer.from(formatEnvelope({ ...envelope, signature: Buffer.alloc(0) }));
    expect(verifying(bare)).toThrow(refusal("LICENSE_SIGNATURE_INVALID"));
  });

  test(
    "with a root of his own is not believed, though he uses the vendor's names",
    attack("signs with a root of his own", "the vendor's names, his keys"),
    () => {
      const other = createVendor();
      expect(verifying(forge(other.issuer, [other.issuer.certificate]))).toThrow(refusal("LICENSE_UNTRUSTED"));
      const chain = [other.issuer.certificate, other.root.certificate];
      expect(verifying(forge(other.issuer, chain))).toThrow(refusal("LICENSE_UNTRUSTED"));
    },
  );

  test(
    "with an issuer's key cannot make issuers",
    attack("makes issuers with an issuer's key", "issuer acting as CA"),
    () => {
      const rogue = createAuthority({ name: "Rogue", key: createKey("ed25519"), by: vendor.issuer, usage: true });
      const chain = [rogue.certificate, vendor.issuer.certificate];
      expect(verifying(forge(rogue, chain))).toThrow(refusal("LICENSE_UNTRUSTED"));
    },
  );

  test(
    "with a certificate for another purpose, or an expired one, cannot issue",
    attack("signs with another certificate of the vendor", "a web server's, an expired one"),
    () => {
      const key = createKey("ed25519");
      const web = createAuthority({ name: "Web", key, by: vendor.root });
      const to = new Date(issuedAt.getTime() - 1000);
      const expired = createAuthority({ name: "Old", key, by: vendor.root, usage: true, to });
      for (const signer of [web, expired]) {
        expect(verifying(forge(signer, [signer.certificate]))).toThrow(refusal("LICENSE_UNTRUSTED"));
      }
    },
  );

  test(
    "with the host's key cannot turn a request into a license",
    attack("replays a request as a license", "payload type confusion"),
    async () => {
      const text = await createHostRequest({ hostKey, machine });
      expect(verifying(Buffer.from(text))).toThrow(refusal("LICENSE_MALFORMED"));
      const relabeled = Buffer.from(text.replaceAll("HOST REQUEST", "LICENSE"));
      expect(verifying(relabeled)).toThrow(refusal("LICENSE_MALFORMED"));
    },
  );

  test(
    "cannot pass off a revocation list that the vendor did sign",
    attack("replays a revocation list as a license", "payload type confusion"),
    () => {
      const payload = Buffer.from(formatJson(issued.license));
      const { key, certificate } = vendor.issuer;
      const list = signEnvelope({ kind: envelopeKinds.revocation, payload, key, certificates: [certificate] });
      const envelope = parseEnvelope(Buffer.from(list), envelopeKinds.revocation);
      const disguised = Buffer.from(formatEnvelope({ ...envelope, kind: envelopeKinds.license }));
      expect(verifying(disguised)).toThrow(refusal("LICENSE_SIGNATURE_INVALID"));
    },
  );
});

describe(
  "a payload that is signed but not understood is refused:",
  attack.each("has nonsense signed with an issuer's key"),
  () => {
    const text = (change: (json: string) => string) => () => change(formatJson(issued.license));
    test.each<[string, () => unknown]>([
      ["an unknown field", () => ({ ...issued.license, discount: 1 })],
      ["a missing field", () => ({ ...issued.license, graceDays: undefined })],
      ["a field of another type", () => ({ ...issued.license, sequence: "1" })],
      ["another version", () => ({ ...issued.license, v: 2 })],
      ["a time with an offset", () => ({ ...issued.license, expires: "2027-01-01T00:00:00+01:00" })],
      ["an end before the start", () => ({ ...issued.license, expires: issued.license.notBefore })],
      ["a short salt", () => ({ ...issued.license, host: { ...issued.license.host, salt: "AAAA" } })],
      [
        "a service named twice",
        () => ({ ...issued.license, services: [issued.license.services[0], issued.license.services[0]] }),
      ],
      ["a file name that is a path", () => withFile({ name: "../../etc/passwd" })],
      [
        "a file named twice",
        () => withService({ files: [issued.license.services[0]!.files[0]!, issued.license.services[0]!.files[0]!] }),
      ],
      ["a negative limit", () => withService({ limits: { ...issued.license.services[0]!.limits, runs: -1 } })],
      ["no JSON", () => "hello"],
      ["a duplicate key", text((json) => json.replace('"v":1', '"v":1,"graceDays":300'))],
      ["a key that reaches for the prototype", text((json) => json.replace('"v":1', '"v":1,"__proto__":{"v":1}'))],
      ["too much depth", () => "[".repeat(50_000)],
      ["text after the value", text((json) => `${json}{}`)],
    ])("%s", (_, license) => {
      const file = signLicense(license(), vendor.issuer);
      expect(() => verifySignedLicense(file, [vendor.trustRoot])).toThrow(refusal("LICENSE_PAYLOAD_INVALID"));
    });

    const withService = (change: object) => ({
      ...issued.license,
      services: [{ ...issued.license.services[0]!, ...change }],
    });
    const withFile = (change: object) =>
      withService({ files: [{ ...issued.license.services[0]!.files[0]!, ...change }] });
  },
);

test(
  "a license for another product is refused",
  attack("uses another product's license", "the same vendor's, signed"),
  async () => {
    const other = issueLicense(vendor, request, { license: { product: "other" } });
    await expect(authorize(other)).rejects.toThrow(refusal("LICENSE_WRONG_PRODUCT"));
  },
);

test(
  "a revoked license and an old sequence are refused",
  attack("uses a withdrawn or an older license", "revoked; sequence 1 after 2"),
  async () => {
    const list = {
      v: 1 as const,
      product: "signet" as const,
      number: 1,
      issuedAt: issuedAt.toISOString(),
      issuers: [],
    };
    const { keyId } = vendor.trustRoot;
    const signed = { ...list, rootKeyId: keyId, signerKeyId: keyId };
    const revocationLists = [{ ...signed, licenses: [issued.license.licenseId] }];
    await expect(authorize(issued, { revocationLists })).rejects.toThrow(refusal("LICENSE_REVOKED"));
    const highestSequence = (id: string) => (id === issued.license.licenseId ? 2 : 0);
    await expect(authorize(issued, { highestSequence })).rejects.toThrow(refusal("LICENSE_SUPERSEDED"));
    const isDeactivated = (id: string) => id === issued.license.licenseId;
    await expect(authorize(issued, { isDeactivated })).rejects.toThrow(refusal("LICENSE_DEACTIVATED"));
    const revocationNumbers = [{ ...signed, number: 2 }];
    const older = { revocationNumbers, revocationLists: [{ ...signed, licenses: [] }] };
    await expect(authorize(issued, older)).rejects.toThrow(refusal("REVOCATION_LIST_SUPERSEDED"));
  },
);

test("an expired license is refused", attack("uses an expired license", "in 2030"), async () => {
  await expect(authorize(issued, { now: new Date("2030-01-01") })).rejects.toThrow(refusal("LICENSE_EXPIRED"));
});

test(
  "a license copied to another host is refused there, even on a copy of the hardware",
  attack("copies a license to another host", "the same hardware, another key"),
  async () => {
    const other = await createHostKey(join(directory, "other"));
    await expect(authorize(issued, { hostKey: other })).rejects.toThrow(refusal("HOST_KEY_MISMATCH"));
  },
);

test(
  "a host key copied to other hardware is refused there, and what differs is named by type only",
  attack("copies the host's key too", "the same key, other hardware"),
  async () => {
    const facts = machine.facts.map((fact) => ({ ...fact, value: `other ${fact.value}` }));
    const refused = authorize(issued, { machine: { ...machine, facts } });
    await expect(refused).rejects.toThrow(refusal("FINGERPRINT_MISMATCH"));
    await expect(refused).rejects.toThrow(/system-uuid, board-serial, machine-id/);
    await expect(refused).rejects.not.toThrow(/uuid-1|board-1/);
  },
);

test(
  "the configuration of another license is refused",
  attack("gives a license another configuration", "license.conf of another license"),
  async () => {
    const other = issueLicense(vendor, request);
    await expect(authorize({ ...issued, confFile: other.confFile })).rejects.toThrow(refusal("CONF_DIGEST_MISMATCH"));
  },
);

test(
  "a content key wrapped for another license does not open this one",
  attack("moves a content key", "that of another license, signed"),
  async () => {
    const other = issueLicense(vendor, request);
    const conf = { ...digestsOf(other.confFile), contentKey: other.license.conf.contentKey };
    const mixed = issueLicense(vendor, request, { license: { conf } });
    await expect(authorize({ ...mixed, confFile: other.confFile })).rejects.toThrow(refusal("CONF_UNDECIPHERABLE"));
  },
);

describe(
  "a configuration that contradicts its license is refused:",
  attack.each("has a license.conf signed that says other things"),
  () => {
    const service = () => issued.conf.services[0]!;
    test.each<[string, () => Partial<LicenseConf>, string]>([
      ["another license id", () => ({ licenseId: randomUUID() }), "CONF_CONTRADICTS_LICENSE"],
      ["another sequence", () => ({ sequence: 9 }), "CONF_CONTRADICTS_LICENSE"],
      ["another product", () => ({ product: "other" }), "CONF_CONTRADICTS_LICENSE"],
      ["one service more", () => ({ services: [service(), { ...service(), name: "b" }] }), "CONF_CONTRADICTS_LICENSE"],
      ["another version", () => ({ services: [{ ...service(), version: "2" }] }), "CONF_CONTRADICTS_LICENSE"],
      [
        "higher limits",
        () => ({ services: [{ ...service(), limits: { ...service().limits, runs: null } }] }),
        "CONF_CONTRADICTS_LICENSE",
      ],
      [
        "another digest",
        () => withFiles([{ ...service().files[0]!, md5: "0".repeat(32) }]),
        "CONF_CONTRADICTS_LICENSE",
      ],
      [
        "one file more",
        () => withFiles([service().files[0]!, { ...service().files[0]!, name: "b" }]),
        "CONF_CONTRADICTS_LICENSE",
      ],
      ["no library", () => withFiles([{ ...service().files[0]!, role: "model" }]), "CONF_INVALID"],
    ])("%s", async (_, conf, code) => {
      const wrong = issueLicense(vendor, request, { conf: conf() });
      await expect(authorize(wrong)).rejects.toThrow(refusal(code));
    });

    const withFiles = (files: LicenseConf["services"][number]["files"]) => ({ services: [{ ...service(), files }] });
  },
);

test("of two libraries the plugin is loaded last", async () => {
  const [plugin] = issued.conf.services[0]!.files;
  const dependency = { ...plugin!, name: "libdep.so", role: "dependency" as const };
  const withOrder = (files: LicenseConf["services"][number]["files"]) => {
    const licensed = files.map(({ role: _, ...file }) => file);
    const license: Partial<License> = { services: [{ ...issued.license.services[0]!, files: licensed }] };
    return issueLicense(vendor, request, { license, conf: { services: [{ ...issued.conf.services[0]!, files }] } });
  };
  expect((await authorize(withOrder([dependency, plugin!]))).conf.services).toHaveLength(1);
  await expect(authorize(withOrder([plugin!, dependency]))).rejects.toThrow(refusal("CONF_INVALID"));
  await expect(authorize(withOrder([{ ...plugin!, name: "a" }, plugin!]))).rejects.toThrow(refusal("CONF_INVALID"));
});

test("a host that shows nothing is bound by its key alone", async () => {
  const bare: Machine = { ...machine, facts: [] };
  const weak = parseHostRequest(Buffer.from(await createHostRequest({ hostKey, machine: bare })));
  expect(weak.host.weak).toBe(true);
  expect((await authorize(issueLicense(vendor, weak), { machine: bare })).fingerprint.isMatch).toBe(true);
});
