import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../src/errors.ts";
import { formatPem, parsePem } from "../../src/license/pem.ts";
import { authorizeFirst, installBundle, readHostLedger } from "../../src/service/index.ts";
import { attacksOn, observed } from "../helpers/attack.ts";
import { type OperatedHost, useDesk } from "../helpers/operator.ts";

const attack = attacksOn("the installation of a bundle");

/** Bundles as someone between vendor and host would change them; every one is refused and changes nothing. */

const desk = useDesk();
const library = "files/identity/libsignet_identity.so";

async function install(host: OperatedHost, bundle: string): Promise<string> {
  return installBundle(host.data, bundle).then(
    () => "installed",
    (error: unknown) => SignetError.from(error).code,
  );
}

function flipLastByte(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
}

function linkInstead(path: string): void {
  renameSync(path, `${path}.real`);
  symlinkSync(`${path}.real`, path);
}

function pipeInstead(path: string): void {
  rmSync(path);
  execFileSync("mkfifo", [path]);
}

/** The customer's name in the signed payload is changed, everything around it stays well-formed. */
function editPayload(path: string): void {
  const [block, ...certificates] = parsePem(readFileSync(path));
  const envelope = JSON.parse(block!.bytes.toString());
  const payload = Buffer.from(envelope.payload, "base64").toString();
  const edited = payload.replace("Example GmbH", "Another GmbH");
  expect(edited).not.toBe(payload);
  envelope.payload = Buffer.from(edited).toString("base64");
  const blocks = [{ label: block!.label, bytes: Buffer.from(JSON.stringify(envelope)) }, ...certificates];
  writeFileSync(path, blocks.map(({ label, bytes }) => formatPem(label, bytes)).join(""));
}

type Change = (bundle: string) => void;
const changes: [name: string, code: string, change: Change][] = [
  ["a library with one bit changed", "LIBRARY_DIGEST_MISMATCH", (b) => flipLastByte(join(b, library))],
  ["a library with one byte more", "LIBRARY_DIGEST_MISMATCH", (b) => appendFileSync(join(b, library), "x")],
  ["a library with one byte less", "LIBRARY_DIGEST_MISMATCH", (b) => truncateSync(join(b, library), 100)],
  ["a huge sparse library", "LIBRARY_DIGEST_MISMATCH", (b) => truncateSync(join(b, library), 2 ** 40)],
  ["no library", "LIBRARY_MISSING", (b) => rmSync(join(b, library))],
  ["no files", "LIBRARY_MISSING", (b) => rmSync(join(b, "files"), { recursive: true })],
  ["a link to the library", "LIBRARY_NOT_REGULAR", (b) => linkInstead(join(b, library))],
  ["a pipe in the library's place", "LIBRARY_NOT_REGULAR", (b) => pipeInstead(join(b, library))],
  ["a link to the service's files", "LIBRARY_NOT_REGULAR", (b) => linkInstead(join(b, "files/identity"))],
  ["a link to the files", "LIBRARY_NOT_REGULAR", (b) => linkInstead(join(b, "files"))],
  [
    "a directory in the library's place",
    "LIBRARY_NOT_REGULAR",
    (b) => {
      rmSync(join(b, library));
      mkdirSync(join(b, library));
    },
  ],
  ["a link to license.lic", "LIBRARY_NOT_REGULAR", (b) => linkInstead(join(b, "license.lic"))],
  ["a link to license.conf", "LIBRARY_NOT_REGULAR", (b) => linkInstead(join(b, "license.conf"))],
  ["a pipe in the place of license.lic", "FILE_UNREADABLE", (b) => pipeInstead(join(b, "license.lic"))],
  ["no license.lic", "FILE_UNREADABLE", (b) => rmSync(join(b, "license.lic"))],
  ["no license.conf", "CONF_MISSING", (b) => rmSync(join(b, "license.conf"))],
  ["license.conf with one bit changed", "CONF_DIGEST_MISMATCH", (b) => flipLastByte(join(b, "license.conf"))],
  ["license.conf with one byte more", "CONF_DIGEST_MISMATCH", (b) => appendFileSync(join(b, "license.conf"), "x")],
  ["a huge license.conf", "LICENSE_TOO_LARGE", (b) => truncateSync(join(b, "license.conf"), 2 ** 40)],
  ["a huge license.lic", "LICENSE_TOO_LARGE", (b) => truncateSync(join(b, "license.lic"), 2 ** 40)],
  ["an empty license.lic", "LICENSE_MALFORMED", (b) => truncateSync(join(b, "license.lic"), 0)],
  ["a license for another customer", "LICENSE_SIGNATURE_INVALID", (b) => editPayload(join(b, "license.lic"))],
  ["nothing at all", "FILE_UNREADABLE", (b) => rmSync(b, { recursive: true })],
  [
    "a file in its place",
    "FILE_UNREADABLE",
    (b) => {
      rmSync(b, { recursive: true });
      writeFileSync(b, "");
    },
  ],
];

describe("a bundle is refused that has", () => {
  test.each(changes)("%s: %s", attack.each("prepares a bundle"), async (_, code, change) => {
    const host = desk.useHost();
    const bundle = desk.useBundle();
    change(bundle);
    const before = readdirSync(host.data.root).sort();
    expect(await install(host, bundle)).toBe(code);
    expect(readdirSync(host.data.root).sort()).toEqual(before);
  });
});

test(
  "a refused bundle leaves the installed license as it was, and no ledger is begun for one",
  attack("damages the installed license by a bad bundle", "after and before a good one"),
  async () => {
    const host = desk.useHost();
    const bad = desk.useBundle();
    flipLastByte(join(bad, library));
    expect(await install(host, bad)).toBe("LIBRARY_DIGEST_MISMATCH");
    expect(readFileSync(join(host.data.hostDir, "host.key"), "latin1")).not.toContain("LEDGER");
    expect(await install(host, desk.useBundle())).toBe("installed");
    const before = readFileSync(join(host.data.licenseDir, library));
    expect(await install(host, bad)).toBe("LIBRARY_DIGEST_MISMATCH");
    expect(readFileSync(join(host.data.licenseDir, library))).toEqual(before);
    expect(readdirSync(host.data.root).filter((name) => name.startsWith("license"))).toEqual(["license"]);
  },
);

test(
  "what the license does not name is not copied",
  attack("brings files along", "another library, a root, a link to /etc/shadow"),
  async () => {
    const host = desk.useHost();
    const bundle = desk.useBundle();
    writeFileSync(join(bundle, "files/identity/extra.so"), "x");
    writeFileSync(join(bundle, "root.pem"), "x");
    symlinkSync("/etc/shadow", join(bundle, "shadow"));
    expect(await install(host, bundle)).toBe("installed");
    const files = readdirSync(host.data.licenseDir, { recursive: true, withFileTypes: true });
    const names = files.filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(names.sort()).toEqual(["libsignet_identity.so", "license.conf", "license.lic"]);
    expect(readdirSync(host.data.trustDir)).toHaveLength(1);
    observed(`only ${names.length} files are copied, and no root`);
  },
);

test(
  "the modes of the bundle's files do not matter: the copies belong to this user",
  attack("brings a file that others can write", "chmod 4777"),
  async () => {
    const host = desk.useHost();
    const bundle = desk.useBundle();
    chmodSync(join(bundle, library), 0o4777);
    expect(await install(host, bundle)).toBe("installed");
    const { mode } = statSync(join(host.data.licenseDir, library));
    expect(mode & 0o7022).toBe(0);
    observed(`the copy has the mode 0${(mode & 0o7777).toString(8)}`);
  },
);

test("installing the same files again does not look like a changed library to a running server", async () => {
  const host = desk.useHost();
  expect(await install(host, desk.useBundle())).toBe("installed");
  const { services } = await authorizeFirst(host.data, (hostKey) => readHostLedger(host.data, hostKey));
  expect(await install(host, desk.useBundle())).toBe("installed");
  for (const { files } of services) await files.verifyAgain();
  flipLastByte(join(host.data.licenseDir, library));
  await expect(services[0]?.files.verifyAgain()).rejects.toThrow(SignetError);
});

test("a data directory that cannot be one is a file error", async () => {
  const host = desk.useHost();
  rmSync(host.data.root, { recursive: true });
  writeFileSync(host.data.root, "");
  expect(await install(host, desk.useBundle())).toBe("FILE_UNREADABLE");
});

test("one installation at a time", attack("installs twice at once", "two bundles in parallel"), async () => {
  const host = desk.useHost();
  const outcomes = await Promise.all([install(host, desk.useBundle()), install(host, desk.useBundle())]);
  expect(outcomes.sort()).toEqual(["FILE_EXISTS", "installed"]);
});
