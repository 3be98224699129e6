import { randomUUID } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { attacksOn } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { passphrase, useDirectory } from "./desk.fixture.ts";
import { appendRegister, type Issued, REGISTER_FILE, readRegister, withRegisterLock } from "./register.ts";
import type { Signer } from "./signer.ts";
import {
  createVendorDirectory,
  openRoot,
  openVendorDirectory,
  readVendorCertificates,
  rotateIssuer,
} from "./vendor-directory.ts";

const attack = attacksOn("the vendor's desk");

const now = new Date("2026-11-21T12:00:00Z");

function issued(change: Partial<Issued> = {}): Issued {
  return {
    event: "issued",
    licenseId: randomUUID(),
    sequence: 1,
    kind: "full",
    customer: "Köln\tGmbH",
    requestId: randomUUID(),
    hostKeyId: "a".repeat(64),
    expires: now.toISOString(),
    services: {},
    ledger: null,
    rollbackAccepted: null,
    movedFrom: null,
    ...change,
  };
}

let template: Record<string, Buffer>;
beforeAll(async () => {
  const parent = mkdtempSync(join(tmpdir(), "signet-register-"));
  const directory = join(parent, "acme");
  await createVendorDirectory({ directory, name: "ACME", passphrase, issuerAlgorithm: "ed25519" });
  const names = ["root.pem", "root.key", "issuer.pem", "issuer.key", "vendor.json"];
  template = Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name))]));
  rmSync(parent, { recursive: true });
});

/** A vendor directory with a register of as many lines as told. */
async function useRegister(count: number) {
  const directory = useDirectory();
  for (const [name, bytes] of Object.entries(template)) writeFileSync(join(directory, name), bytes);
  const { signer } = await openVendorDirectory(directory, { passphrase });
  const file = join(directory, REGISTER_FILE);
  const read = async () => readRegister(directory, await readVendorCertificates(directory));
  const append = async (entry = issued(), by: Signer = signer) =>
    appendRegister(directory, await read(), entry, by, now);
  for (let line = 0; line < count; line++) await append();
  return { directory, file, signer, read, append };
}

test("what was written down is read again, line by line, with a head that changes every time", async () => {
  const { read, append } = await useRegister(0);
  expect(await read()).toEqual({ lines: [], head: "0".repeat(64) });
  const first = await append(issued({ customer: "Köln\tGmbH" }));
  const second = await append(issued({ kind: "trial" }));
  expect(second.head).not.toBe(first.head);
  const register = await read();
  expect(register).toEqual(second);
  expect(register.lines).toMatchObject([
    { line: 1, customer: "Köln\tGmbH" },
    { line: 2, kind: "trial", previous: first.head },
  ]);
});

describe("a register is refused", () => {
  test.each([
    ["a line that was taken out", (lines: string[]) => lines.toSpliced(1, 1)],
    ["the first line taken out", (lines: string[]) => lines.slice(1)],
    ["two lines that changed places", ([a, b, c]: string[]) => [a!, c!, b!]],
    ["a line that is there twice", ([a, b, c]: string[]) => [a!, b!, b!, c!]],
    ["a changed word", ([a, b, c]: string[]) => [a!, b!.replace("full", "gift"), c!]],
    ["an empty line", ([a, ...rest]: string[]) => [a!, "", ...rest]],
    ["a signature in another spelling", ([a, b, c]: string[]) => [a!, b!.replace(/==$/, ""), c!]],
  ])("for %s", attack.each("changes the register"), async (_, spoil) => {
    const { file, read } = await useRegister(3);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    writeFileSync(file, `${spoil(lines).join("\n")}\n`);
    expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
  });

  test("for any changed bit", attack("flips bits of the register", "one in every seventh byte"), async () => {
    const { file, read } = await useRegister(2);
    const bytes = readFileSync(file);
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      writeFileSync(file, changed);
      expect(await codeOfAsync(read), `byte ${at}`).toBe("REGISTER_TAMPERED");
    }
  });

  test(
    "for a line that somebody else signed, also with a certificate put among the vendor's",
    attack("signs a line of the register", "with a key of his own, and its certificate in issuers/"),
    async () => {
      const { directory, read, append } = await useRegister(1);
      const other = join(useDirectory(), "other");
      await createVendorDirectory({ directory: other, name: "ACME", passphrase, issuerAlgorithm: "ed25519" });
      const stranger = await openVendorDirectory(other, { passphrase });
      await append(issued(), stranger.signer);
      expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
      await rotateOnce(directory);
      writeFileSync(join(directory, "issuers", "stranger.pem"), stranger.issuer.toString());
      expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
    },
  );

  test(
    "for a line of another course of things, though its number fits",
    attack("replays a line of the register", "of another course of things"),
    async () => {
      const { file, read, append } = await useRegister(1);
      const before = readFileSync(file);
      await append();
      const [, other] = readFileSync(file, "utf8").split("\n");
      writeFileSync(file, before);
      await append();
      await append();
      const [first, , third] = readFileSync(file, "utf8").split("\n");
      writeFileSync(file, `${first}\n${other}\n${third}\n`);
      expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
    },
  );

  test("for the beginning of a line", attack("appends to the register", "half a line"), async () => {
    const { file, read } = await useRegister(1);
    appendFileSync(file, '{"event":"issued"');
    expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
  });

  test("for what is no line at all", attack("appends noise to the register", "bytes that are no text"), async () => {
    const { file, read } = await useRegister(1);
    appendFileSync(file, "\0\u00ff\n");
    expect(await codeOfAsync(read)).toBe("REGISTER_TAMPERED");
  });
});

async function rotateOnce(directory: string) {
  const { root } = await readVendorCertificates(directory);
  const rootSigner = await openRoot(join(directory, "root.key"), passphrase, root);
  await rotateIssuer({ directory, rootSigner, issuer: { algorithm: "ed25519", passphrase } });
  return rootSigner;
}

test("lines of an earlier issuer and of the root hold beside those of the present one", async () => {
  const { directory, read, append } = await useRegister(2);
  const rootSigner = await rotateOnce(directory);
  await append(issued(), rootSigner);
  const { signer } = await openVendorDirectory(directory, { passphrase });
  await append(issued(), signer);
  expect((await read()).lines).toHaveLength(4);
});

test("changes that are wanted at the same time happen one after another, and all are kept", async () => {
  const { directory, read, append } = await useRegister(0);
  await Promise.all(Array.from({ length: 5 }, () => withRegisterLock(directory, () => append())));
  expect((await read()).lines.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5]);
});
