import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { passphrase, useDirectory } from "./desk.fixture.ts";
import { formatSigningKey, openSigningKey } from "./signing-key.ts";

const attack = attacksOn("the vendor's desk");

const { privateKey } = generateKeyPairSync("ed25519");

function useKeyFile(text: string | Buffer): string {
  const path = join(useDirectory(), "some.key");
  writeFileSync(path, text);
  return path;
}

test("a key opens with its passphrase and is the same key", async () => {
  const path = useKeyFile(await formatSigningKey(privateKey, "pässphrase mit ümlaut"));
  expect((await openSigningKey(path, "pässphrase mit ümlaut")).equals(privateKey)).toBe(true);
});

test(
  "the file says PBES2 with 600,000 rounds of HMAC-SHA256 and AES-256",
  attack("guesses the passphrase of a stolen key", "from the file alone"),
  async () => {
    const pem = await formatSigningKey(privateKey, passphrase);
    const der = Buffer.from(pem.replace(/-----.*-----/g, ""), "base64").toString("hex");
    expect(der).toContain("0203" + "0927c0"); // INTEGER 600000
    expect(der).toContain("06082a864886f70d0209"); // hmacWithSHA256
    expect(der).toContain("060960864801650304012a"); // aes256-CBC
    expect(pem).not.toContain("\r");
    observed("every guess costs 600,000 rounds of PBKDF2");
  },
);

test(
  "a wrong or empty passphrase, a damaged, plain or missing key file is refused",
  attack("uses a stolen key file", "a wrong or no passphrase, a cut file"),
  async () => {
    const pem = await formatSigningKey(privateKey, passphrase);
    const plain = privateKey.export({ type: "pkcs8", format: "pem" });
    const refused = "VENDOR_KEY_UNREADABLE";
    expect(await codeOfAsync(() => openSigningKey(useKeyFile(pem), "wrong"))).toBe(refused);
    expect(await codeOfAsync(() => openSigningKey(useKeyFile(pem), ""))).toBe(refused);
    expect(await codeOfAsync(() => openSigningKey(useKeyFile(plain), passphrase))).toBe(refused);
    expect(await codeOfAsync(() => openSigningKey(useKeyFile(Buffer.alloc(1 << 20)), passphrase))).toBe(refused);
    expect(await codeOfAsync(() => openSigningKey("/nonexistent/some.key", passphrase))).toBe(refused);
    expect(await codeOfAsync(() => openSigningKey(useDirectory(), passphrase))).toBe(refused);
    for (const length of [40, 100, pem.length - 30]) {
      expect(await codeOfAsync(() => openSigningKey(useKeyFile(pem.slice(0, length)), passphrase))).toBe(refused);
    }
  },
);

test(
  "a passphrase of fewer than 12 characters encrypts nothing",
  attack("hopes for a short passphrase", "11 characters, 6 emoji"),
  async () => {
    expect(await codeOfAsync(() => formatSigningKey(privateKey, ""))).toBe("USAGE");
    expect(await codeOfAsync(() => formatSigningKey(privateKey, "elevenchars"))).toBe("USAGE");
    // Counted as people count: six emoji are twelve UTF-16 units.
    expect(await codeOfAsync(() => formatSigningKey(privateKey, "🔑🔑🔑🔑🔑🔑"))).toBe("USAGE");
  },
);
