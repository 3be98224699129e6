import { createPublicKey } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  createDeactivationReceipt,
  createHostRequest,
  envelopeKinds,
  type LedgerHead,
  parseHostRequest,
} from "../../src/license/index.ts";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { nativeLibrary } from "../../test/helpers/native.ts";
import { type Host, passphrase, useDescription, useDirectory, useHost } from "./desk.fixture.ts";
import { issueRegistered } from "./issue-registered.ts";
import { rebuildRegister } from "./rebuild-register.ts";
import { loadServiceDescription } from "./service-description.ts";
import { keySigner, signDocument } from "./signer.ts";
import { createVendorDirectory, openVendorDirectory } from "./vendor-directory.ts";

const attack = attacksOn("the vendor's desk");

/** A vendor that issues one license, loses the register and makes it anew from that license and other files. */
async function useVendor(request: string) {
  const directory = join(useDirectory(), "acme");
  await createVendorDirectory({ directory, name: "ACME", passphrase, issuerAlgorithm: "ed25519" });
  const vendor = await openVendorDirectory(directory, { passphrase });
  const out = join(useDirectory(), "bundle");
  const services = [{ name: "echo", library: nativeLibrary("identity") }];
  const terms = { customer: "c", license: { expires: "2099-01-01T00:00:00.000Z" }, services };
  const license = await issueRegistered({
    ...{ vendorDirectory: directory, request: Buffer.from(request), vendor, out, now: new Date(), acceptWeak: false },
    description: await loadServiceDescription(useDescription(terms), new Date()),
    ...{ renewed: undefined, movedFrom: undefined, acceptRollback: undefined },
  });
  const rebuild = async (...files: string[]) => {
    rmSync(join(directory, "register.jsonl"));
    const all = [readFileSync(join(out, "license.lic")), ...files.map((text) => Buffer.from(text))];
    return await rebuildRegister({
      vendorDirectory: directory,
      files: all.map((bytes, index) => ({ path: `file ${index}`, bytes })),
      ...{ revocationNumber: 0, signer: vendor.signer, now: new Date() },
    });
  };
  return { license, rebuild };
}

function headAt(sequence: number, licenseId: string): LedgerHead {
  return { sequence, mac: Buffer.alloc(32, sequence).toString("base64"), licenseId, totals: {} };
}

const someLicense = "00000000-0000-4000-8000-000000000000";

function requestOf({ key, machine }: Host, sequence: number): Promise<string> {
  return createHostRequest({ hostKey: key, machine, ledger: headAt(sequence, someLicense) });
}

/** The request as another host, or the same one later, would sign it under the same number. */
async function forged(request: string, by: Host, sequence: number): Promise<string> {
  const { requestId } = parseHostRequest(Buffer.from(request));
  const own = { ...parseHostRequest(Buffer.from(await requestOf(by, sequence))), requestId };
  const signer = keySigner(by.key.signing, createPublicKey(by.key.signing));
  return await signDocument(signer, envelopeKinds.request, `${JSON.stringify(own, null, 2)}\n`);
}

test(
  "a receipt that another host made up gives nobody's license back",
  attack("gives back somebody else's license", "a receipt by a key of his own, among the files of a lost register"),
  async () => {
    const [host, mallory] = [await useHost(), await useHost()];
    const { license, rebuild } = await useVendor(await requestOf(host, 7));
    const { licenseId, sequence } = license;
    const receiptBy = ({ key }: Host) =>
      createDeactivationReceipt({ hostKey: key, licenseId, sequence, ledger: headAt(9, licenseId) });

    const deceived = await rebuild(receiptBy(mallory));
    expect(deceived.register.lines[0]).toMatchObject({ event: "rebuilt", moved: [] });
    const honest = await rebuild(receiptBy(mallory), receiptBy(host));
    expect(honest.register.lines[0]).toMatchObject({ event: "rebuilt", moved: [licenseId] });
    observed("it is not counted, the licensed host's own is");
  },
);

test(
  "a request under the number of another one does not hide how far a ledger had come",
  attack("hides a ledger that went back", "a second request of the same number, among the files of a lost register"),
  async () => {
    const [host, mallory] = [await useHost(), await useHost()];
    const request = await requestOf(host, 7);
    const { rebuild } = await useVendor(request);
    for (const by of [host, mallory]) {
      const other = await forged(request, by, 1);
      for (const files of [
        [request, other],
        [other, request],
      ]) {
        const { register, withoutRequest } = await rebuild(...files);
        expect(register.lines[1]).toMatchObject({ event: "issued", ledger: { sequence: 7 } });
        expect(withoutRequest).toBe(0);
      }
    }
    observed("the licensed host's latest counts, whatever else has its number");
  },
);
