import { generateKeyPairSync, type KeyPairKeyObjectResult, randomBytes } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import {
  createContentSecret,
  digestsOf,
  encryptConf,
  envelopeKinds,
  formatJson,
  type License,
  parseHostRequest,
  parseTrustRoot,
  signEnvelope,
  type TrustRoot,
  thresholdFor,
  wrapContentKey,
} from "../../src/license/index.ts";
import { codeOf } from "../../test/helpers/code-of.ts";
import { createIssuerCertificate, createRootCertificate } from "./certificates.ts";
import { type Host, useHost } from "./desk.fixture.ts";
import { formatInspection } from "./format-inspection.ts";
import { inspectFile } from "./inspect-file.ts";
import { keySigner } from "./signer.ts";

const now = new Date("2026-11-21T12:00:00Z");
const rootKeys = generateKeyPairSync("rsa", { modulusLength: 3072 });
const issuerKeys = generateKeyPairSync("ed25519");
const rootSigner = signerOf(rootKeys);
const rootCertificate = await createRootCertificate("ACME", rootSigner, now);
const issuer = await createIssuerCertificate("ACME", issuerKeys.publicKey, rootSigner, now);
const root: TrustRoot = parseTrustRoot(Buffer.from(rootCertificate.toString()));

function signerOf({ privateKey, publicKey }: KeyPairKeyObjectResult) {
  return keySigner(privateKey, publicKey);
}

/** A license and its configuration, made without a plugin: inspecting needs only the two files. */
function createFiles(host: Host, change: (license: License) => void = () => {}) {
  const request = parseHostRequest(host.request);
  const number = { licenseId: request.requestId, sequence: 3 };
  const limits = {
    runs: 1000,
    runTimeMs: 36_000_000,
    jobTimeMs: 60_000,
    concurrency: 2,
    notBefore: null,
    expires: null,
  };
  const file = { name: "plugin.so", ...digestsOf(Buffer.from("plugin")) };
  const service = { name: "text", version: "2", files: [file], limits };
  const conf = encryptConf(
    {
      v: 1,
      product: "signet",
      ...number,
      services: [
        {
          ...service,
          files: [{ ...file, role: "library" }],
          config: { apiKey: "hidden-setting" },
          entitlements: {},
          parameters: {},
          inputs: [],
          outputs: [{ name: "y", datatype: "FP32", shape: [1] }],
        },
      ],
    },
    createContentSecret(),
  );
  const { signingKey, wrappingKey, salt, platform, components } = request.host;
  const license: License = {
    v: 1,
    product: "signet",
    ...number,
    kind: "full",
    vendor: "ACME",
    customer: "Example GmbH",
    requestId: request.requestId,
    issuedAt: "2026-11-21T12:00:00Z",
    notBefore: "2026-11-21T12:00:00Z",
    expires: "2027-11-21T12:00:00Z",
    graceDays: 14,
    enforcement: "strict",
    host: { signingKey, wrappingKey, salt, platform, components, ...thresholdFor(components) },
    conf: {
      ...digestsOf(conf),
      contentKey: wrapContentKey(createContentSecret(), Buffer.from(wrappingKey, "base64"), number),
    },
    services: [service],
  };
  change(license);
  const payload = Buffer.from(formatJson(license));
  const certificates = [issuer];
  const signed = signEnvelope({ kind: envelopeKinds.license, payload, key: issuerKeys.privateKey, certificates });
  return { conf, license: Buffer.from(signed) };
}

let host: Host;
beforeAll(async () => {
  host = await useHost();
});

test("a host request is explained by component types and weights, never by values", () => {
  const text = formatInspection(inspectFile(host.request), now);
  for (const word of ["system-uuid", "board-serial", "disk", "6 of 10 points", "physical", "good"]) {
    expect(text).toContain(word);
  }
  for (const { value } of host.machine.facts) expect(text).not.toContain(value);
});

test("a license is explained with signer, limits and what it cannot tell", () => {
  const { license } = createFiles(host);
  const text = formatInspection(inspectFile(license), now);
  for (const word of [
    "Example GmbH",
    "1000 runs",
    "10 h of run time",
    "1 min a job",
    "2 at a time",
    "sequence 3",
    "valid",
  ]) {
    expect(text).toContain(word);
  }
  expect(text).toContain("whether the signer is your vendor");
});

test("with a root the signer is the vendor, or the license is refused", async () => {
  const { license } = createFiles(host);
  const inspection = inspectFile(license, { root });
  expect(inspection).toMatchObject({ signature: { holds: true, root: root.keyId } });
  const keys = generateKeyPairSync("rsa", { modulusLength: 3072 });
  const stranger = parseTrustRoot(Buffer.from((await createRootCertificate("ACME", signerOf(keys), now)).toString()));
  expect(codeOf(() => inspectFile(license, { root: stranger }))).toBe("VENDOR_MISMATCH");
});

test("a license changed after signing is shown, with a signature that does not hold", () => {
  const { license } = createFiles(host);
  const body = license.toString().split("-----END SIGNET LICENSE-----")[0]!.split("\n").slice(1).join("");
  const dsse = JSON.parse(Buffer.from(body, "base64").toString());
  const payload = Buffer.from(dsse.payload, "base64").toString().replace('"runs":1000', '"runs":9999');
  dsse.payload = Buffer.from(payload).toString("base64");
  const wrapped = Buffer.from(JSON.stringify(dsse))
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n");
  const forged = `-----BEGIN SIGNET LICENSE-----\n${wrapped}\n-----END SIGNET LICENSE-----\n${issuer.toString()}`;
  const inspection = inspectFile(Buffer.from(forged));
  expect(inspection).toMatchObject({ kind: "license", signature: { holds: false, root: null } });
  expect(formatInspection(inspection, now)).toContain("DOES NOT HOLD");
});

test("a configuration gives away its digests and, beside its license, where it belongs; nothing else", () => {
  const { conf, license } = createFiles(host);
  const alone = inspectFile(conf);
  expect(alone).toMatchObject({ kind: "configuration", document: { ...digestsOf(conf), licenseId: null } });
  const requestId = parseHostRequest(host.request).requestId;
  expect(inspectFile(conf, { license })).toMatchObject({ document: { licenseId: requestId } });
  expect(inspectFile(conf, { license: randomBytes(500) })).toMatchObject({ document: { licenseId: null } });
  expect(formatInspection(alone, now)).not.toContain("hidden-setting");
});

test("certificates are told apart: root, issuer and one that Signet has no use for", async () => {
  const other = await createIssuerCertificate("ACME", issuerKeys.publicKey, rootSigner, now);
  expect(inspectFile(Buffer.from(rootCertificate.toString()))).toMatchObject({
    document: { role: "root", weakness: null, key: "rsa 3072", keyId: root.keyId },
  });
  expect(inspectFile(Buffer.from(other.toString()), { root })).toMatchObject({
    document: { role: "issuer", weakness: null, key: "ed25519", root: root.keyId },
  });
  const small = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const weak = Buffer.from((await createRootCertificate("ACME", signerOf(small), now)).toString());
  expect(inspectFile(weak)).toMatchObject({ document: { role: "root", weakness: expect.stringContaining("2048") } });
});

test("a revocation list signed by the root is checked when the root is there, and not guessed without it", () => {
  const list = { v: 1, product: "signet", number: 7, issuedAt: "2026-11-21T12:00:00Z", licenses: [], issuers: [] };
  const payload = Buffer.from(formatJson(list));
  const file = Buffer.from(signEnvelope({ kind: envelopeKinds.revocation, payload, key: rootKeys.privateKey }));
  expect(inspectFile(file)).toMatchObject({ kind: "revocation list", signature: { holds: null } });
  expect(inspectFile(file, { root })).toMatchObject({ signature: { holds: true, root: root.keyId } });
});

test("a private key is named as one and never opened", () => {
  const open = issuerKeys.privateKey.export({ type: "pkcs8", format: "pem" });
  expect(inspectFile(Buffer.from(open))).toMatchObject({ kind: "private key", document: { encrypted: false } });
});

test("hostile files end in one coded error or an honest answer, never in a crash", () => {
  const { license, conf } = createFiles(host);
  const files = [license, conf, host.request, Buffer.from(rootCertificate.toString())];
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * below);
  };
  for (let round = 0; round < 2000; round++) {
    const changed = Buffer.from(files[round % files.length]!);
    for (let count = 1 + random(4); count > 0; count--) changed[random(changed.length)] = random(256);
    const file = random(4) === 0 ? changed.subarray(0, random(changed.length)) : changed;
    codeOf(() => formatInspection(inspectFile(file, { root, license }), now));
  }
  for (const nothing of [Buffer.alloc(0), Buffer.from("hello"), randomBytes(5000), Buffer.alloc(8192 * 1024)]) {
    expect(codeOf(() => inspectFile(nothing))).toBe("FILE_UNREADABLE");
  }
});
