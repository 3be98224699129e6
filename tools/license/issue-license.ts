import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeService } from "../../src/engine/index.ts";
import { SignetError } from "../../src/errors.ts";
import {
  batchingObstacle,
  createContentSecret,
  decryptConf,
  digestsOf,
  encryptConf,
  envelopeKinds,
  formatJson,
  type HostRequest,
  type License,
  type LicenseConf,
  PRODUCT,
  parseHostRequest,
  parseTrustRoot,
  pluginConfigOf,
  readConfFile,
  readLicenseFile,
  type ServiceConf,
  type SignedLicense,
  thresholdFor,
  verifyConfAgrees,
  verifyConfDigests,
  verifySignedLicense,
  wrapContentKey,
} from "../../src/license/index.ts";
import { SealedFiles, verifyFiles } from "../../src/plugin/index.ts";
import { type BundleFile, copyServiceFiles, verifyMachine } from "./bundle-files.ts";
import { createDirectory } from "./new-directory.ts";
import type { DescribedService, ServiceDescription } from "./service-description.ts";
import { signDocument } from "./signer.ts";
import type { VendorDirectory } from "./vendor-directory.ts";

/** Which license this is: a new one has a fresh id and sequence 1, a renewal the old id and a higher sequence. */
export interface LicenseNumber {
  readonly licenseId: string;
  readonly sequence: number;
}

export interface IssueInput {
  /** The bytes of host.req. */
  readonly request: Uint8Array;
  readonly description: ServiceDescription;
  readonly vendor: VendorDirectory;
  readonly number: LicenseNumber;
  /** Issue even though the host cannot be told from a copy of itself by its hardware. */
  readonly acceptWeak: boolean;
  /** The bundle's directory; must not exist. */
  readonly out: string;
  readonly now: Date;
  /** Writes the license down before the bundle gets its name: what was handed out is always in the register. */
  readonly record?: (license: License) => Promise<void>;
}

/**
 * Issues a license and makes the bundle to copy to the host: license.lic, license.conf and files/SERVICE/NAME.
 * The bundle appears under its name only after it has passed what the server will check.
 * @throws SignetError REQUEST_INVALID, HOST_WEAK, FILE_EXISTS, and whatever is wrong with the described files
 */
export async function issueLicense(input: IssueInput): Promise<License> {
  const request = parseAcceptable(input.request, input.acceptWeak);
  return await createDirectory(input.out, async (draft) => {
    const services: ServiceConf[] = [];
    for (const service of input.description.services) {
      services.push(await prepareService(service, join(draft, "files", service.name), request));
    }
    const conf: LicenseConf = { v: 1, product: PRODUCT, ...input.number, services };
    const secret = createContentSecret();
    const confFile = encryptConf(conf, secret);
    const license = createLicense(input, request, conf, { confFile, secret });
    const licenseFile = await signDocument(input.vendor.signer, envelopeKinds.license, formatJson(license));
    await writeFile(join(draft, "license.conf"), confFile, { flag: "wx", mode: 0o600 });
    await writeFile(join(draft, "license.lic"), licenseFile, { flag: "wx", mode: 0o600 });
    await verifyBundle(draft, input.vendor, secret);
    await input.record?.(license);
    return license;
  });
}

export function createLicenseNumber(): LicenseNumber {
  return { licenseId: randomUUID(), sequence: 1 };
}

/**
 * The number of the license that replaces `previous`, which must be this vendor's and for the same host:
 * the host's ledger goes on counting under the same license id.
 * @throws SignetError VENDOR_MISMATCH, LICENSE_*, HOST_KEY_MISMATCH
 */
export function nextLicenseNumber(previous: Uint8Array, vendor: VendorDirectory, request: Uint8Array): LicenseNumber {
  const { license } = verifyOwnLicense(previous, vendor);
  if (license.host.signingKey !== parseHostRequest(request).host.signingKey) {
    throw new SignetError("HOST_KEY_MISMATCH", "the license to renew was issued for another host than the request's");
  }
  return { licenseId: license.licenseId, sequence: license.sequence + 1 };
}

function verifyOwnLicense(licenseFile: Uint8Array, { root, vendor }: VendorDirectory): SignedLicense {
  try {
    return verifySignedLicense(licenseFile, [parseTrustRoot(Buffer.from(root.toString()))]);
  } catch (cause) {
    if (!(cause instanceof SignetError) || cause.code !== "LICENSE_UNTRUSTED") throw cause;
    const message = `the license to renew was not signed by an issuer of ${vendor.name}, whose keys were given`;
    throw new SignetError("VENDOR_MISMATCH", message, { cause });
  }
}

/** A request that a license may be issued for. @throws SignetError REQUEST_INVALID, HOST_WEAK */
export function parseAcceptable(bytes: Uint8Array, acceptWeak: boolean): HostRequest {
  const request = parseHostRequest(bytes);
  if (!request.host.weak || acceptWeak) return request;
  const types = [...new Set(request.host.components.map(({ type }) => type))].join(", ") || "nothing";
  throw new SignetError("HOST_WEAK", `the request shows only ${types} of its ${request.host.platform} host`);
}

/** Copies the service's files into the bundle and lets the plugin say what tensors its model takes and gives. */
async function prepareService(
  service: DescribedService,
  directory: string,
  request: HostRequest,
): Promise<ServiceConf> {
  const files = await copyServiceFiles(service, directory);
  await verifyMachine(files, request.host.arch);
  const { instance } = await describeService({
    name: service.name,
    files: files.map(({ name, role, path }) => ({ name, role, path })),
    config: pluginConfigOf(service),
    needsGpu: (service.needs?.gpus ?? 0) > 0,
  });
  const { name, version, config, entitlements, parameters, maxBatchSize, needs, limits } = service;
  const obstacle = maxBatchSize === undefined ? undefined : batchingObstacle(instance);
  if (obstacle !== undefined) {
    throw new SignetError("VENDOR_DESCRIPTION_INVALID", `services.${name}.maxBatchSize: ${obstacle}`);
  }
  const listed = files.map(({ path: _, ...file }: BundleFile) => file);
  return {
    ...{ name, version, files: listed, config, entitlements, parameters, ...instance, limits },
    // Left out of licenses that say nothing of it, which servers older than it take too.
    ...(maxBatchSize === undefined ? {} : { maxBatchSize }),
    ...(needs === undefined ? {} : { needs }),
  };
}

function createLicense(
  { description, vendor, number, now }: IssueInput,
  request: HostRequest,
  conf: LicenseConf,
  { confFile, secret }: { confFile: Buffer; secret: Buffer },
): License {
  const { signingKey, wrappingKey, salt, platform, components } = request.host;
  return {
    v: 1,
    product: PRODUCT,
    ...number,
    kind: description.kind,
    vendor: vendor.vendor.name,
    customer: description.customer,
    requestId: request.requestId,
    issuedAt: now.toISOString(),
    notBefore: description.notBefore,
    expires: description.expires,
    graceDays: description.graceDays,
    enforcement: description.enforcement,
    host: { signingKey, wrappingKey, salt, platform, components, ...thresholdFor(components) },
    conf: {
      ...digestsOf(confFile),
      contentKey: wrapContentKey(secret, Buffer.from(wrappingKey, "base64"), number),
    },
    services: conf.services.map(({ name, version, files, limits }) => ({
      name,
      version,
      files: files.map(({ role: _, ...file }) => file),
      limits,
    })),
  };
}

/**
 * First authorization as the host will do it, from the files as written. Three steps are the host's alone: its
 * private key, its hardware and its ledger.
 */
async function verifyBundle(directory: string, vendor: VendorDirectory, secret: Buffer): Promise<void> {
  const root = parseTrustRoot(Buffer.from(vendor.root.toString()));
  const { license } = verifySignedLicense(await readLicenseFile(join(directory, "license.lic")), [root]);
  const confFile = await readConfFile(join(directory, "license.conf"));
  verifyConfDigests(license, confFile);
  const conf = decryptConf(confFile, secret);
  verifyConfAgrees(license, conf);
  const sealed = new SealedFiles();
  for (const { name, files } of conf.services) verifyFiles(join(directory, "files", name), files, sealed);
}
