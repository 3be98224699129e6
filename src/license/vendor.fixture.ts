import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign, X509Certificate } from "node:crypto";
import { LICENSE_ISSUING_OID, licenseIssuingExtension } from "./certificates.ts";
import { encryptConf } from "./conf.ts";
import { createContentSecret, wrapContentKey } from "./content-key.ts";
import { digestsOf } from "./digests.ts";
import { envelopeKinds } from "./envelope.ts";
import { thresholdFor } from "./fingerprint.ts";
import { type HostRequest, type License, type LicenseConf, PRODUCT } from "./schema.ts";
import { signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";
import { parseTrustRoot, type TrustRoot } from "./trust-root.ts";

/** A vendor for tests: writes certificates byte by byte, also those that no sane tool would write. */

export interface Authority {
  readonly key: KeyObject;
  readonly certificate: X509Certificate;
}

export interface Vendor {
  readonly root: Authority;
  readonly issuer: Authority;
  readonly trustRoot: TrustRoot;
}

export const issuedAt = new Date("2026-03-01T12:00:00Z");

export function createVendor(algorithm: "ed25519" | "rsa" = "ed25519"): Vendor {
  const root = createAuthority({ name: "Test Root", key: createKey(algorithm), ca: true });
  const issuer = createAuthority({ name: "Test Issuer", key: createKey(algorithm), by: root, usage: true });
  return { root, issuer, trustRoot: parseTrustRoot(Buffer.from(root.certificate.toString())) };
}

export function createKey(
  algorithm: "ed25519" | "rsa",
  rsa = { modulusLength: 3072, publicExponent: 65537 },
): KeyObject {
  return algorithm === "ed25519"
    ? generateKeyPairSync("ed25519").privateKey
    : generateKeyPairSync("rsa", rsa).privateKey;
}

export interface CertificateRecipe {
  readonly name: string;
  readonly key: KeyObject;
  /** Who signs it; itself if absent. */
  readonly by?: Authority;
  readonly ca?: boolean;
  /** True for the license issuing extension. */
  readonly usage?: boolean;
  readonly from?: Date;
  readonly to?: Date;
  readonly sha1?: boolean;
  /** True for a certificate that does not say whether it is a CA, nor what its key is for. */
  readonly bare?: boolean;
}

export function createAuthority(recipe: CertificateRecipe): Authority {
  const { name, key, by, ca = false, usage = false, sha1 = false, bare = false } = recipe;
  const { from = new Date("2026-01-01T00:00:00Z"), to = new Date("2030-01-01T00:00:00Z") } = recipe;
  const signer = by?.key ?? key;
  const algorithm = signatureAlgorithm(signer, sha1);
  const constraints = [
    extension("551d13", true, der(0x30, ca ? der(0x01, Buffer.from([0xff])) : empty)),
    // keyCertSign and cRLSign, or digitalSignature
    extension("551d0f", true, Buffer.from(ca ? "03020106" : "03020780", "hex")),
  ];
  const extensions = [
    ...(bare ? [] : constraints),
    ...(usage ? [extension("551d25", false, licenseIssuingExtension)] : []),
  ];
  const body = der(
    0x30,
    der(0xa0, Buffer.from("020102", "hex")),
    der(0x02, Buffer.concat([Buffer.from([0x01]), Buffer.from(randomUUID().replaceAll("-", ""), "hex")])),
    algorithm,
    by === undefined ? distinguishedName(name) : distinguishedName(by.certificate.subject.replace("CN=", "")),
    der(0x30, generalizedTime(from), generalizedTime(to)),
    distinguishedName(name),
    createPublicKey(key).export({ format: "der", type: "spki" }),
    der(0xa3, der(0x30, ...extensions)),
  );
  const hash = sha1 ? "sha1" : "sha256";
  const signature = signer.asymmetricKeyType === "rsa" ? sign(hash, body, signer) : sign(null, body, signer);
  const certificate = new X509Certificate(der(0x30, body, algorithm, der(0x03, Buffer.from([0]), signature)));
  if (usage !== (certificate.keyUsage?.includes(LICENSE_ISSUING_OID) ?? false)) throw new Error("the fixture is wrong");
  return { key, certificate };
}

const empty = Buffer.alloc(0);

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function extension(oid: string, critical: boolean, value: Uint8Array): Buffer {
  const mark = critical ? der(0x01, Buffer.from([0xff])) : empty;
  return der(0x30, der(0x06, Buffer.from(oid, "hex")), mark, der(0x04, value));
}

function distinguishedName(name: string): Buffer {
  return der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from("550403", "hex")), der(0x0c, Buffer.from(name)))));
}

function generalizedTime(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]|\.\d+/g, "")}`));
}

function signatureAlgorithm(signer: KeyObject, sha1: boolean): Buffer {
  if (signer.asymmetricKeyType === "ed25519") return der(0x30, der(0x06, Buffer.from("2b6570", "hex")));
  const oid = sha1 ? "2a864886f70d010105" : "2a864886f70d01010b";
  return der(0x30, der(0x06, Buffer.from(oid, "hex")), der(0x05));
}

export interface Issued {
  readonly license: License;
  readonly conf: LicenseConf;
  readonly licenseFile: Buffer;
  readonly confFile: Buffer;
}

/** Issues a license as the vendor's tool does; `change` may spoil the documents before they are signed. */
export function issueLicense(
  vendor: Vendor,
  request: HostRequest,
  change: {
    license?: Partial<License>;
    conf?: Partial<LicenseConf>;
    signer?: Authority;
    chain?: X509Certificate[];
  } = {},
): Issued {
  const identity = { licenseId: change.license?.licenseId ?? randomUUID(), sequence: change.license?.sequence ?? 1 };
  const file = { name: "libdemo.so", ...digestsOf(Buffer.from("a library")) };
  const limits = { runs: 100, runTimeMs: null, jobTimeMs: 1000, concurrency: 2, notBefore: null, expires: null };
  const service = { name: "demo", version: "1", files: [file], limits };
  const conf: LicenseConf = {
    v: 1,
    product: PRODUCT,
    ...identity,
    services: [
      {
        ...service,
        files: [{ ...file, role: "library" }],
        config: {},
        entitlements: {},
        parameters: {},
        inputs: [{ name: "in", datatype: "FP32", shape: [-1] }],
        outputs: [{ name: "out", datatype: "FP32", shape: [-1] }],
      },
    ],
    ...change.conf,
  };
  const secret = createContentSecret();
  const confFile = encryptConf(conf, secret);
  const { signingKey, wrappingKey, salt, platform, components } = request.host;
  const license: License = {
    v: 1,
    product: PRODUCT,
    ...identity,
    kind: "full",
    vendor: "ACME",
    customer: "Factory",
    requestId: request.requestId,
    issuedAt: issuedAt.toISOString(),
    notBefore: issuedAt.toISOString(),
    expires: "2027-03-01T12:00:00Z",
    graceDays: 14,
    enforcement: "strict",
    host: { signingKey, wrappingKey, salt, platform, components, ...thresholdFor(components) },
    conf: {
      ...digestsOf(confFile),
      contentKey: wrapContentKey(secret, Buffer.from(wrappingKey, "base64"), identity),
    },
    services: [service],
    ...change.license,
  };
  const signer = change.signer ?? vendor.issuer;
  return { license, conf, confFile, licenseFile: signLicense(license, signer, change.chain) };
}

export function signLicense(license: unknown, signer: Authority, chain?: X509Certificate[]): Buffer {
  const payload = Buffer.from(typeof license === "string" ? license : formatJson(license));
  const certificates = chain ?? [signer.certificate];
  return Buffer.from(signEnvelope({ kind: envelopeKinds.license, payload, key: signer.key, certificates }));
}
