import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { encryptConf } from "../../../src/license/conf.ts";
import { createContentSecret, wrapContentKey } from "../../../src/license/content-key.ts";
import { digestsOf } from "../../../src/license/digests.ts";
import type { HostKey } from "../../../src/license/host-key.ts";
import type { LicenseConf } from "../../../src/license/schema.ts";
import { createVendor, issuedAt, type Vendor } from "../../../src/license/vendor.fixture.ts";

/** A vendor and a host for the targets, with keys that exist only while they run. */
export interface Desk {
  readonly vendor: Vendor;
  readonly hostKey: HostKey;
}

export function createDesk(): Desk {
  const signing = generateKeyPairSync("ed25519").privateKey;
  const wrapping = generateKeyPairSync("x25519").privateKey;
  const hostKey: HostKey = {
    signing,
    wrapping,
    signingPublic: createPublicKey(signing).export({ format: "der", type: "spki" }),
    wrappingPublic: createPublicKey(wrapping).export({ format: "der", type: "spki" }),
    ledgerId: undefined,
    deriveKey: () => Buffer.alloc(32),
  };
  return { vendor: createVendor(), hostKey };
}

export const licenseId = "11111111-2222-4333-8444-555555555555";
export const requestId = "66666666-7777-4888-9999-000000000000";

const limits = { runs: 100, runTimeMs: null, jobTimeMs: 1000, concurrency: 2, notBefore: null, expires: null };
const file = { name: "libdemo.so", ...digestsOf(Buffer.from("a library")) };
const model = { name: "model.onnx", ...digestsOf(Buffer.from("a model")) };
const identity = { v: 1, product: "signet", licenseId, sequence: 3 } as const;

export const conf: LicenseConf = {
  ...identity,
  services: [
    {
      name: "demo",
      version: "1",
      files: [
        { ...model, role: "model" },
        { ...file, role: "library" },
      ],
      config: { threads: 2, model: { beams: [1, 2] } },
      entitlements: { languages: "de,en", pro: true, seats: 5 },
      parameters: { alphabet: "abc" },
      inputs: [{ name: "in", datatype: "FP32", shape: [-1, 3] }],
      outputs: [{ name: "out", datatype: "BYTES", shape: [-1] }],
      limits,
    },
  ],
};

/**
 * What a license says, with a mark where something belongs that exists only while the target runs. `fill` puts that in,
 * also in a text that was changed since.
 */
export const licenseWithMarks = {
  ...identity,
  kind: "full",
  vendor: "ACME",
  customer: "Factory",
  requestId,
  issuedAt: issuedAt.toISOString(),
  notBefore: issuedAt.toISOString(),
  expires: "2027-03-01T12:00:00Z",
  graceDays: 14,
  enforcement: "strict",
  host: {
    signingKey: "@signingKey",
    wrappingKey: "@wrappingKey",
    salt: Buffer.alloc(32, 7).toString("base64"),
    platform: "physical",
    components: [] as unknown[],
    threshold: 0,
    minTypes: 0,
  },
  conf: { size: "@confSize", md5: "@confMd5", sha256: "@confSha256", contentKey: "@contentKey" },
  services: [{ name: "demo", version: "1", files: [model, file], limits }],
};

/** license.conf, encrypted for the host, and what a license has to say of it. */
export function sealConf(desk: Desk, content: LicenseConf = conf) {
  const secret = createContentSecret();
  const confFile = encryptConf(content, secret);
  const contentKey = wrapContentKey(secret, desk.hostKey.wrappingPublic, identity);
  return { confFile, secret, contentKey };
}

export function fill(text: string, desk: Desk, confFile: Buffer, contentKey: unknown): string {
  const { size, md5, sha256 } = digestsOf(confFile);
  return text
    .replaceAll('"@confSize"', String(size))
    .replaceAll('"@contentKey"', JSON.stringify(contentKey))
    .replaceAll("@confMd5", md5)
    .replaceAll("@confSha256", sha256)
    .replaceAll("@signingKey", desk.hostKey.signingPublic.toString("base64"))
    .replaceAll("@wrappingKey", desk.hostKey.wrappingPublic.toString("base64"));
}

/** A moment when the license holds. */
export const now = new Date("2026-06-01T12:00:00Z");
export const machine = { platform: "physical", facts: [], unreadable: [], os: "Debian", arch: "x64" } as const;
