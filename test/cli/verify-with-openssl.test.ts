import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createHostKey,
  createHostRequest,
  encryptConf,
  envelopeKinds,
  parseEnvelope,
  parseHostRequest,
} from "../../src/license/index.ts";
import {
  createAuthority,
  createKey,
  createVendor,
  issuedAt,
  issueLicense,
  type Vendor,
} from "../../src/license/vendor.fixture.ts";

const guide = new URL("../../docs/guides/verify-with-openssl.md", import.meta.url);
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-openssl-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** Runs the guide's only shell block on the files in the directory, with no other program than it may use. */
async function runGuide(): Promise<{ status: number | null; output: string }> {
  const [, block] = /```sh\n([^`]+)```/.exec(await readFile(guide, "utf8"))!;
  const { status, stdout, stderr } = spawnSync("sh", ["-c", block!], { cwd: directory, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

async function issueTo(vendor: Vendor, change: Parameters<typeof issueLicense>[2] = {}): Promise<void> {
  const hostKey = await createHostKey(join(directory, "host"));
  const machine = { platform: "vm", facts: [], unreadable: [], os: "Linux", arch: "x64" } as const;
  const request = parseHostRequest(Buffer.from(await createHostRequest({ hostKey, machine })));
  const { licenseFile, confFile } = issueLicense(vendor, request, change);
  await writeFile(join(directory, "license.lic"), licenseFile);
  await writeFile(join(directory, "license.conf"), confFile);
  await writeFile(join(directory, "root.pem"), vendor.root.certificate.toString());
}

async function edit(name: string, change: (content: Buffer) => Buffer): Promise<void> {
  await writeFile(join(directory, name), change(await readFile(join(directory, name))));
}

describe.skipIf(!hasOpenssl)("the guide's openssl lines", () => {
  test.each(["rsa", "ed25519"] as const)("verify a fresh license of an %s issuer", async (algorithm) => {
    const vendor = createVendor(algorithm);
    await issueTo(vendor);
    const { status, output } = await runGuide();
    expect(output).toMatch(/Verified OK|Signature Verified Successfully/);
    expect(output).toContain("license.conf: OK");
    expect(output).toContain('"customer":"Factory"');
    expect(status).toBe(0);
  });

  test("verify a license below an intermediate, and one whose issuer has expired since", async () => {
    const vendor = createVendor();
    const middle = createAuthority({ name: "Middle", key: createKey("ed25519"), by: vendor.root, ca: true });
    const to = new Date(issuedAt.getTime() + 1000);
    const signer = createAuthority({ name: "Issuer", key: createKey("ed25519"), by: middle, usage: true, to });
    await issueTo(vendor, { signer, chain: [signer.certificate, middle.certificate] });
    expect((await runGuide()).status).toBe(0);
  });

  test("refuse a changed payload, a changed configuration and another root", async () => {
    const vendor = createVendor();
    await issueTo(vendor);
    const license = await readFile(join(directory, "license.lic"));
    const envelope = parseEnvelope(license, envelopeKinds.license);
    const pem = license.toString().split("-----")[2]!;
    const forged = Buffer.from(envelope.payload.toString().replace('"graceDays":14', '"graceDays":99'));
    const dsse = Buffer.from(pem, "base64")
      .toString()
      .replace(/"payload":"[^"]*"/, `"payload":"${forged.toString("base64")}"`);
    await edit("license.lic", () =>
      Buffer.from(license.toString().replace(pem, `\n${Buffer.from(dsse).toString("base64")}\n`)),
    );
    expect((await runGuide()).status).not.toBe(0);

    await writeFile(join(directory, "license.lic"), license);
    expect((await runGuide()).status).toBe(0);
    await edit("license.conf", (conf) => Buffer.concat([conf.subarray(0, -1), Buffer.from([conf.at(-1)! ^ 1])]));
    expect((await runGuide()).status).not.toBe(0);

    await edit("license.conf", (conf) => Buffer.concat([conf.subarray(0, -1), Buffer.from([conf.at(-1)! ^ 1])]));
    await writeFile(join(directory, "root.pem"), createVendor().root.certificate.toString());
    expect((await runGuide()).status).not.toBe(0);
  });

  test("refuse a certificate that is not for licenses", async () => {
    const vendor = createVendor();
    const signer = createAuthority({ name: "Web", key: createKey("ed25519"), by: vendor.root });
    await issueTo(vendor, { signer });
    expect((await runGuide()).status).not.toBe(0);
  });
});

test.skipIf(!hasOpenssl)("license.conf is its text XOR openssl's SHAKE-256", () => {
  const secret = Buffer.alloc(64, 7);
  const conf = { v: 1, product: "signet", licenseId: "", sequence: 1, services: [] } as const;
  const file = encryptConf({ ...conf, services: [] }, secret);
  const input = Buffer.concat([Buffer.from("signet/license.conf/v1\0"), secret]);
  const options = ["dgst", "-shake256", "-xoflen", String(file.length), "-binary"];
  const keystream = execFileSync("openssl", options, { input });
  const text = Buffer.from(file.map((byte, index) => byte ^ keystream[index]!)).toString();
  expect(JSON.parse(text)).toEqual(conf);
});
