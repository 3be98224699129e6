import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import type { License } from "./schema.ts";
import { readConfFile, readLicenseFile, verifyProduct, verifySequence, verifyTime } from "./verify.ts";

const attack = attacksOn("the ledger and the clock");

const refusal = (code: string) => expect.objectContaining({ code });
const license = {
  product: "signet",
  sequence: 5,
  issuedAt: "2026-03-01T00:00:00Z",
  notBefore: "2026-03-01T00:00:00Z",
  expires: "2026-04-01T00:00:00Z",
  graceDays: 10,
} as License;

describe("time", () => {
  test.each([
    ["2026-03-01T00:00:00.000Z", "valid", 31],
    ["2026-03-01T00:00:09.000Z", "valid", 31],
    ["2026-03-31T00:59:59.000Z", "valid", 1],
    ["2026-03-31T01:00:01.000Z", "valid", 0],
    ["2026-03-31T23:59:59.999Z", "valid", 0],
    ["2026-04-01T00:00:00.000Z", "grace", 10],
    ["2026-04-10T23:59:59.999Z", "grace", 0],
  ])("%s is %s with %i days left", (now, phase, daysLeft) => {
    expect(verifyTime(license, new Date(now))).toEqual({ phase, daysLeft });
  });

  test.each([
    ["2026-04-11T00:00:00.000Z", "LICENSE_EXPIRED"],
    ["2099-01-01T00:00:00.000Z", "LICENSE_EXPIRED"],
    ["2026-02-28T23:59:59.999Z", "LICENSE_NOT_YET_VALID"],
    ["2026-02-27T00:00:00.000Z", "CLOCK_SET_BACK"],
    ["1970-01-01T00:00:00.000Z", "CLOCK_SET_BACK"],
  ])("%s is %s", attack.each("sets the clock to when the license holds"), (now, code) => {
    expect(() => verifyTime(license, new Date(now))).toThrow(refusal(code));
  });

  test("without grace a license ends where it expires", () => {
    const now = new Date("2026-04-01T00:00:00Z");
    expect(() => verifyTime({ ...license, graceDays: 0 }, now)).toThrow(refusal("LICENSE_EXPIRED"));
  });
});

test("an older sequence is refused; the same and a newer one are not", () => {
  expect(() => verifySequence(license, 6)).toThrow(refusal("LICENSE_SUPERSEDED"));
  for (const highest of [0, 4, 5]) expect(() => verifySequence(license, highest)).not.toThrow();
});

test("a license for another product is refused", () => {
  expect(() => verifyProduct({ ...license, product: "other" })).toThrow(refusal("LICENSE_WRONG_PRODUCT"));
  expect(() => verifyProduct(license)).not.toThrow();
});

describe("reading the two files", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "signet-files-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("gives their bytes, also through a link", async () => {
    await writeFile(join(directory, "real"), "hello");
    await symlink("real", join(directory, "license.lic"));
    expect(await readLicenseFile(join(directory, "license.lic"))).toEqual(Buffer.from("hello"));
  });

  test("names each missing file", async () => {
    await expect(readLicenseFile(join(directory, "license.lic"))).rejects.toThrow(refusal("LICENSE_MISSING"));
    await expect(readConfFile(join(directory, "license.conf"))).rejects.toThrow(refusal("CONF_MISSING"));
  });

  test("stops at the size cap", async () => {
    const path = join(directory, "license.lic");
    await writeFile(path, Buffer.alloc(256 * 1024));
    expect(await readLicenseFile(path)).toHaveLength(256 * 1024);
    await writeFile(path, Buffer.alloc(256 * 1024 + 1));
    await expect(readLicenseFile(path)).rejects.toThrow(refusal("LICENSE_TOO_LARGE"));
    await writeFile(path, Buffer.alloc(1024 * 1024 + 1));
    await expect(readConfFile(path)).rejects.toThrow(refusal("LICENSE_TOO_LARGE"));
  });

  test("refuses what is not a file, and an endless device, without waiting", async () => {
    await mkdir(join(directory, "license.lic"));
    await expect(readLicenseFile(join(directory, "license.lic"))).rejects.toThrow(refusal("FILE_UNREADABLE"));
    await expect(readLicenseFile("/dev/zero")).rejects.toThrow(refusal("FILE_UNREADABLE"));
  });
});
