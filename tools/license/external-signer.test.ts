import { execFileSync } from "node:child_process";
import type { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { isSignature } from "../../src/license/index.ts";
import { createAuthority, createKey, createVendor } from "../../src/license/vendor.fixture.ts";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { codeOfAsync } from "../../test/helpers/code-of.ts";
import { useDirectory } from "./desk.fixture.ts";
import { commandSigner } from "./external-signer.ts";

const attack = attacksOn("the vendor's desk");

const vendor = createVendor();
const bytes = Buffer.from("what is to be signed\n\0\u00ff");

function signer(command: string, issuer: X509Certificate, timeoutMs?: number) {
  return commandSigner({ command, option: "--signer-cmd", publicKey: issuer.publicKey }, issuer, timeoutMs);
}

const commands = {
  rsa: (key: string) =>
    `openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sign '${key}' | openssl base64`,
  // openssl signs with Ed25519 from a file only.
  ed25519: (key: string) =>
    `f=$(mktemp) && cat > "$f" && openssl pkeyutl -sign -rawin -inkey '${key}' -in "$f" | openssl base64; rm "$f"`,
};

describe.each(["rsa", "ed25519"] as const)("a key of kind %s that only openssl reads", (algorithm) => {
  const key = createKey(algorithm);
  const issuer = createAuthority({ name: "HSM", key, by: vendor.root, usage: true });

  test("signs by a command", async () => {
    const path = join(useDirectory(), "hsm key.pem");
    writeFileSync(path, key.export({ type: "pkcs8", format: "pem" }));
    const signature = await signer(commands[algorithm](path), issuer.certificate).sign(bytes);
    expect(isSignature(bytes, signature, issuer.certificate.publicKey)).toBe(true);
  });
});

describe("a command is refused", () => {
  const { certificate } = vendor.issuer;
  const sign = (command: string, timeoutMs?: number) => () => signer(command, certificate, timeoutMs).sign(bytes);

  beforeAll(() => void execFileSync("openssl", ["version"]));

  test.each([
    ["that does not exist", "/nonexistent/signer"],
    ["that fails", "cat > /dev/null; echo AAAA; exit 3"],
    ["that prints nothing", "cat > /dev/null"],
    ["that prints no base64", "cat > /dev/null; echo 'PIN?'"],
    ["that reads nothing", "exit 0"],
    ["that signs with another key", "cat > /dev/null; printf 'A%.0s' $(seq 86); echo =="],
    ["that prints without end", "cat > /dev/null; yes"],
  ])("%s", async (_, command) => {
    expect(await codeOfAsync(sign(command))).toBe("VENDOR_SIGNER_FAILED");
  });

  test("that never ends, with all that it started", async () => {
    expect(await codeOfAsync(sign("sleep 600 & sleep 600", 200))).toBe("VENDOR_SIGNER_FAILED");
  });
});

test(
  "the command does not see the passphrase",
  attack("reads the passphrase from a signing command", "its environment"),
  async () => {
    process.env.SIGNET_PASSPHRASE = "correct horse battery staple";
    const file = join(useDirectory(), "environment");
    await codeOfAsync(() => signer(`env > '${file}'`, vendor.issuer.certificate).sign(bytes));
    delete process.env.SIGNET_PASSPHRASE;
    const { readFileSync } = await import("node:fs");
    expect(readFileSync(file, "utf8")).not.toContain("horse");
    expect(readFileSync(file, "utf8")).toContain("PATH=");
    observed("it is not there");
  },
);
