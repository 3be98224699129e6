import { createHash } from "node:crypto";
import { SignetError } from "../errors.ts";
import { CONTENT_SECRET_BYTES } from "./content-key.ts";
import { parseDocument } from "./document.ts";
import { type LicenseConf, licenseConfSchema } from "./schema.ts";
import { formatJson } from "./strict-json.ts";

/**
 * license.conf is hidden by XOR with a keystream that never repeats, so that it says nothing to whoever holds the
 * files alone. XOR does not protect it against change: that is done by the digests in the signed license, which
 * are compared before a byte is decrypted.
 */

export const MAX_CONF_BYTES = 1024 * 1024;
/** The length of the file tells no more than this about the length of its content. */
const PAD_BYTES = 4096;

/** @param secret key ‖ nonce, 64 bytes, fresh for this file. */
export function encryptConf(conf: LicenseConf, secret: Uint8Array): Buffer {
  const text = Buffer.from(formatJson(conf));
  const padded = Buffer.alloc(Math.ceil((text.length + 1) / PAD_BYTES) * PAD_BYTES, " ");
  text.copy(padded);
  padded[padded.length - 1] = 0x0a;
  if (padded.length > MAX_CONF_BYTES) {
    throw new SignetError(
      "CONF_INVALID",
      `license.conf: expected at most ${MAX_CONF_BYTES} bytes, found ${padded.length}`,
    );
  }
  return xorWithKeystream(padded, secret);
}

/** @throws CONF_UNDECIPHERABLE, CONF_INVALID */
export function decryptConf(file: Uint8Array, secret: Uint8Array): LicenseConf {
  const text = xorWithKeystream(file, secret);
  return parseDocument(licenseConfSchema, text, {
    what: "license.conf",
    code: "CONF_INVALID",
    notJson: "CONF_UNDECIPHERABLE",
  });
}

function xorWithKeystream(bytes: Uint8Array, secret: Uint8Array): Buffer {
  if (secret.length !== CONTENT_SECRET_BYTES) {
    throw new SignetError("CONF_UNDECIPHERABLE", `expected a content key of ${CONTENT_SECRET_BYTES} bytes`);
  }
  const keystream = createHash("shake256", { outputLength: bytes.length })
    .update("signet/license.conf/v1\0")
    .update(secret)
    .digest();
  const result = Buffer.allocUnsafe(bytes.length);
  for (let index = 0; index < bytes.length; index++) result[index] = bytes[index]! ^ keystream[index]!;
  return result;
}
