import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { identityService, type LicensedHost, useLicensedHost } from "../../test/helpers/licensed-host.ts";
import { type ErrorCode, SignetError } from "../errors.ts";
import { addTrustRoot } from "../license/index.ts";
import { createVendor } from "../license/vendor.fixture.ts";
import { authorizationSteps } from "./authorization-steps.ts";
import { authorizeFirst } from "./first-authorization.ts";
import { readHostLedger } from "./host-ledger.ts";

/** From the last step to the first; each is added to those before it. */
const faults: readonly (readonly [ErrorCode, (host: LicensedHost) => Promise<void> | void])[] = [
  ["LIBRARY_MISSING", ({ data }) => rmSync(join(data.licenseDir, "files"), { recursive: true })],
  ["CONF_DIGEST_MISMATCH", ({ data }) => writeFileSync(join(data.licenseDir, "license.conf"), "nonsense")],
  ["CONF_MISSING", ({ data }) => rmSync(join(data.licenseDir, "license.conf"))],
  ["LICENSE_EXPIRED", (host) => expire(host)],
  ["HOST_KEY_MISSING", ({ data }) => rmSync(data.hostDir, { recursive: true })],
  ["REVOCATION_LIST_INVALID", ({ data }) => writeList(data.revocationDir)],
  ["LICENSE_UNTRUSTED", ({ data }) => trustAnother(data.trustDir)],
  ["TRUST_ROOT_MISSING", ({ data }) => rmSync(data.trustDir, { recursive: true })],
  ["LICENSE_MALFORMED", ({ data }) => writeFileSync(join(data.licenseDir, "license.lic"), "nonsense")],
  ["LICENSE_MISSING", ({ data }) => rmSync(data.licenseDir, { recursive: true })],
];

test("each fault is told before all that later steps would find, in the order of the list", async () => {
  const host = await useLicensedHost([identityService]);
  const found: string[] = [];
  for (const [, fault] of faults) {
    await fault(host);
    found.push(await codeOf(host));
  }
  expect(found).toEqual(faults.map(([code]) => code));
  const places = faults.map(([code]) => authorizationSteps.findIndex(({ codes }) => isAmong(codes, code)));
  expect(places).toEqual(places.toSorted((a, b) => b - a));
});

async function codeOf({ data }: LicensedHost): Promise<string> {
  try {
    await authorizeFirst(data, (hostKey) => readHostLedger(data, hostKey));
    return "none";
  } catch (error) {
    return SignetError.from(error).code;
  }
}

function isAmong(codes: readonly string[], code: string): boolean {
  return codes.includes(code);
}

/** And of its bundle there is nothing else, as before. */
async function expire(host: LicensedHost): Promise<void> {
  const day = 86_400_000;
  const [notBefore, expires] = [2, 1].map((days) => new Date(Date.now() - days * day).toISOString());
  await host.relicense([identityService], { notBefore, expires });
  rmSync(join(host.data.licenseDir, "license.conf"));
}

function writeList(directory: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "list.crl"), "nonsense");
}

async function trustAnother(directory: string): Promise<void> {
  rmSync(directory, { recursive: true });
  await addTrustRoot(directory, Buffer.from(createVendor().root.certificate.toString()));
}
