import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { authorizeLicense, digestsOf, parseTrustRoot } from "../../src/license/index.ts";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { type Host, passphrase, useDescription, useDirectory, useHost } from "./desk.fixture.ts";
import { createLicenseNumber, type IssueInput, issueLicense, nextLicenseNumber } from "./issue-license.ts";
import { loadServiceDescription } from "./service-description.ts";
import { createVendorDirectory, openVendorDirectory, type VendorDirectory } from "./vendor-directory.ts";

const attack = attacksOn("the vendor's desk");

const now = new Date();
let vendor: VendorDirectory;

beforeAll(async () => {
  vendor = await useVendor();
});

async function useVendor(): Promise<VendorDirectory> {
  const parent = mkdtempSync(join(tmpdir(), "signet-vendor-"));
  const directory = join(parent, "acme");
  await createVendorDirectory({ directory, name: "ACME", passphrase, issuerAlgorithm: "rsa" });
  const opened = await openVendorDirectory(directory, { passphrase });
  rmSync(parent, { recursive: true });
  return opened;
}

/** A description of one service, the identity plugin unless told otherwise. */
async function useServices(service: object = {}, license: object = { validDays: 30, graceDays: 7 }) {
  const services = [
    { name: "echo", library: nativeLibrary("identity"), limits: { runs: 10, jobTime: "5s" }, ...service },
  ];
  return await loadServiceDescription(useDescription({ customer: "Example", license, services }), now);
}

async function useInput(host: Host, changes: Partial<IssueInput> = {}): Promise<IssueInput> {
  return {
    request: host.request,
    description: changes.description ?? (await useServices()),
    vendor,
    number: createLicenseNumber(),
    acceptWeak: false,
    out: join(useDirectory(), "bundle"),
    now,
    ...changes,
  };
}

function authorize(bundle: string, host: Host) {
  return authorizeLicense({
    licenseFile: readFileSync(join(bundle, "license.lic")),
    confFile: readFileSync(join(bundle, "license.conf")),
    roots: [parseTrustRoot(Buffer.from(vendor.root.toString()))],
    revocationLists: [],
    revocationNumbers: [],
    highestSequence: () => 0,
    isDeactivated: () => false,
    now: new Date(now.getTime() + 1000),
    hostKey: host.key,
    machine: host.machine,
  });
}

test("an issued license holds on its host, with the tensors that the plugin itself named", async () => {
  const host = await useHost();
  const model = join(useDirectory(), "weights.bin");
  writeFileSync(model, "weights");
  const description = await useServices({ models: [model], config: { datatype: "FP32", shape: [-1, 4] } });
  const input = await useInput(host, { description });
  await issueLicense(input);
  const { license, conf, time, fingerprint } = await authorize(input.out, host);
  expect({ vendor: license.vendor, customer: license.customer, sequence: license.sequence }).toEqual({
    vendor: "ACME",
    customer: "Example",
    sequence: 1,
  });
  expect(time).toEqual({ phase: "valid", daysLeft: 30 });
  expect(fingerprint.isMatch).toBe(true);
  const [service] = conf.services;
  expect(service!.inputs).toEqual([expect.objectContaining({ datatype: "FP32", shape: [-1, 4] })]);
  expect(service!.files.map(({ name, role }) => `${role} ${name}`)).toEqual([
    "library libsignet_identity.so",
    "model weights.bin",
  ]);
  for (const { name, role: _, ...digests } of service!.files) {
    expect(digests).toEqual(digestsOf(readFileSync(join(input.out, "files", "echo", name))));
  }
  expect(license.services[0]!.limits).toMatchObject({ runs: 10, runTimeMs: null, jobTimeMs: 5000, concurrency: 1 });
});

test("several items at once are licensed only where every tensor takes any number of them", async () => {
  const host = await useHost();
  const batched = (shape: number[]) => useServices({ config: { datatype: "FP32", shape }, maxBatchSize: 8 });
  const input = await useInput(host, { description: await batched([-1, 4]) });
  await issueLicense(input);
  expect((await authorize(input.out, host)).conf.services[0]!.maxBatchSize).toBe(8);
  const fixed = await useInput(host, { description: await batched([4, -1]) });
  expect(await codeOfAsync(() => issueLicense(fixed))).toBe("VENDOR_DESCRIPTION_INVALID");
});

test("what a service takes of its host is in its license, where its vendor says it", async () => {
  const host = await useHost();
  const needs = { cpuCores: 2, memoryMiB: 512 };
  const input = await useInput(host, { description: await useServices({ needs }) });
  await issueLicense(input);
  expect((await authorize(input.out, host)).conf.services[0]!.needs).toEqual(needs);
  expect(await codeOfAsync(() => useServices({ needs: { gpus: 1 } }))).toBe("VENDOR_DESCRIPTION_INVALID");
  // The plugin is made on a GPU already when its license is, and this one runs on none.
  const onGpu = await useInput(host, { description: await useServices({ needs: { gpus: 1, gpuMemoryMiB: 1 } }) });
  expect(await codeOfAsync(() => issueLicense(onGpu))).toBe("SERVICE_START_FAILED");
});

test("the same license does not hold on another host", async () => {
  const [host, other] = [await useHost(), await useHost()];
  const input = await useInput(host);
  await issueLicense(input);
  expect(await codeOfAsync(() => authorize(input.out, other))).toBe("HOST_KEY_MISMATCH");
});

test("links in the vendor's files become regular files in the bundle", async () => {
  const host = await useHost();
  const folder = useDirectory();
  const [library, model] = [join(folder, "plugin.so"), join(folder, "model.bin")];
  symlinkSync(nativeLibrary("identity"), library);
  writeFileSync(join(folder, "real.bin"), "weights");
  symlinkSync("real.bin", model);
  const input = await useInput(host, { description: await useServices({ library, models: [model] }) });
  await issueLicense(input);
  for (const name of ["plugin.so", "model.bin"]) {
    expect(lstatSync(join(input.out, "files", "echo", name)).isFile()).toBe(true);
  }
  expect(await codeOfAsync(() => authorize(input.out, host))).toBe("none");
});

test("a bundle that is already there stays as it is", async () => {
  const host = await useHost();
  const input = await useInput(host);
  mkdirSync(input.out);
  expect(await codeOfAsync(() => issueLicense(input))).toBe("FILE_EXISTS");
  expect(readdirSync(input.out)).toEqual([]);
});

test("a weak host gets a license only when the vendor accepts that", async () => {
  const host = await useHost({ weak: true });
  const input = await useInput(host);
  expect(await codeOfAsync(() => issueLicense(input))).toBe("HOST_WEAK");
  await issueLicense({ ...input, acceptWeak: true });
  expect(await codeOfAsync(() => authorize(input.out, host))).toBe("none");
});

test(
  "a request changed after it was signed is refused, wherever the change is",
  attack("edits a request before it is issued for", "the platform; single bits"),
  async () => {
    const host = await useHost();
    const input = await useInput(host);
    const text = host.request.toString();
    const body = text.replace(/-----.*-----/g, "").replaceAll("\n", "");
    const dsse = JSON.parse(Buffer.from(body, "base64").toString());
    const payload = JSON.parse(Buffer.from(dsse.payload, "base64").toString());
    payload.host.platform = "vm";
    dsse.payload = Buffer.from(JSON.stringify(payload)).toString("base64");
    const rewrapped = Buffer.from(JSON.stringify(dsse))
      .toString("base64")
      .replace(/.{64}(?=.)/g, "$&\n");
    const label = "SIGNET HOST REQUEST";
    const forged = Buffer.from(`-----BEGIN ${label}-----\n${rewrapped}\n-----END ${label}-----\n`);
    expect(await codeOfAsync(() => issueLicense({ ...input, request: forged }))).toBe("REQUEST_INVALID");
    for (let at = 40; at < host.request.length; at += 97) {
      const flipped = Buffer.from(host.request);
      flipped[at]! ^= 1;
      expect(await codeOfAsync(() => issueLicense({ ...input, request: flipped }))).toBe("REQUEST_INVALID");
    }
  },
);

test.each([
  ["a library that is not there", { library: "/nonexistent/lib.so" }, "FILE_UNREADABLE"],
  ["a directory as a model", { models: ["/tmp"] }, "FILE_UNREADABLE"],
  ["a device as a model", { models: ["/dev/zero"] }, "FILE_UNREADABLE"],
  ["a text file as the library", { library: import.meta.filename }, "PLUGIN_INCOMPATIBLE"],
  [
    "a library that is no plugin",
    { library: `/lib/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu/libm.so.6` },
    "PLUGIN_INCOMPATIBLE",
  ],
  ["a dependency that is not listed", { library: nativeLibrary("onnxruntime") }, "LIBRARY_DEPENDENCY_UNCOVERED"],
  [
    "the library among its own dependencies",
    { dependencies: [nativeLibrary("identity")] },
    "VENDOR_DESCRIPTION_INVALID",
  ],
  ["a file name that is no label", { models: ["/tmp/with space.bin"] }, "VENDOR_DESCRIPTION_INVALID"],
])("%s is refused and nothing is left behind", async (_, service, code) => {
  const input = await useInput(await useHost(), { description: await useServices(service) });
  expect(await codeOfAsync(() => issueLicense(input))).toBe(code);
  expect(readdirSync(dirname(input.out))).toEqual([]);
});

test("a plugin that refuses its settings stops the issue with the plugin's own words", async () => {
  const description = await useServices({ config: { datatype: "FP999" } });
  const input = await useInput(await useHost(), { description });
  await expect(issueLicense(input)).rejects.toThrow(/FP999/);
  expect(existsSync(input.out)).toBe(false);
});

test("a library for another machine than the host's is refused", async () => {
  const library = join(useDirectory(), basename(nativeLibrary("identity")));
  copyFileSync(nativeLibrary("identity"), library);
  const bytes = readFileSync(library);
  bytes.writeUInt16LE(process.arch === "x64" ? 183 : 62, 18);
  writeFileSync(library, bytes);
  const input = await useInput(await useHost(), { description: await useServices({ library }) });
  expect(await codeOfAsync(() => issueLicense(input))).toBe("PLUGIN_INCOMPATIBLE");
});

test("a renewal keeps the license id and counts up, for the same host and by the same vendor only", async () => {
  const [host, other] = [await useHost(), await useHost()];
  const input = await useInput(host);
  const first = await issueLicense(input);
  const file = readFileSync(join(input.out, "license.lic"));
  const number = nextLicenseNumber(file, vendor, host.request);
  expect(number).toEqual({ licenseId: first.licenseId, sequence: 2 });
  const renewal = await useInput(host, { number });
  await issueLicense(renewal);
  expect((await authorize(renewal.out, host)).license.sequence).toBe(2);
  expect(await codeOfAsync(() => nextLicenseNumber(file, vendor, other.request))).toBe("HOST_KEY_MISMATCH");
  const stranger = await useVendor();
  expect(await codeOfAsync(() => nextLicenseNumber(file, stranger, host.request))).toBe("VENDOR_MISMATCH");
  file[file.length >> 2]! ^= 1;
  expect(await codeOfAsync(() => nextLicenseNumber(file, vendor, host.request))).not.toBe("none");
});
