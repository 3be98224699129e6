import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type AuthorizationInput, authorizeLicense, verifySignedLicense } from "../../../src/license/authorize.ts";
import { digestsOf } from "../../../src/license/digests.ts";
import { formatPem, parsePem } from "../../../src/license/pem.ts";
import { createAuthority, createKey, signLicense } from "../../../src/license/vendor.fixture.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateJson } from "../mutate-json.ts";
import { hold, type Target } from "../target.ts";
import { conf, createDesk, type Desk, fill, licenseWithMarks, machine, now, sealConf } from "./desk.ts";

const readCodes = [
  "LICENSE_TOO_LARGE",
  "LICENSE_MALFORMED",
  "LICENSE_UNTRUSTED",
  "LICENSE_SIGNATURE_INVALID",
  "LICENSE_PAYLOAD_INVALID",
  "LICENSE_WRONG_PRODUCT",
] as const;

const authorizeCodes = [
  ...readCodes,
  "LICENSE_NOT_YET_VALID",
  "LICENSE_EXPIRED",
  "CLOCK_SET_BACK",
  "HOST_KEY_MISMATCH",
  "FINGERPRINT_MISMATCH",
  "CONF_DIGEST_MISMATCH",
  "CONF_UNDECIPHERABLE",
  "CONF_INVALID",
  "CONF_CONTRADICTS_LICENSE",
] as const;

/** license.lic as bytes. What is accepted must say what the vendor signed, whatever was done to the file. */
export function licenseFile(): Target {
  const desk = createDesk();
  const { confFile, contentKey } = sealConf(desk);
  const text = fill(JSON.stringify(licenseWithMarks), desk, confFile, contentKey);
  const signed = JSON.parse(text);
  const { root, issuer, trustRoot } = desk.vendor;
  const middle = createAuthority({ name: "Middle", key: createKey("ed25519"), by: root, ca: true });
  const below = createAuthority({ name: "Below", key: createKey("ed25519"), by: middle, usage: true });
  return {
    codes: readCodes,
    starts: [
      signLicense(text, issuer),
      signLicense(text, below, [below.certificate, middle.certificate]),
      signLicense(text, createAuthority({ name: "No usage", key: createKey("ed25519"), by: root })),
    ],
    mutate: mutateBytes,
    isWhole: true,
    maxBytes: 8192,
    run(input) {
      const { license } = verifySignedLicense(input, [trustRoot]);
      hold(isDeepStrictEqual(license, signed), "an accepted license says what was signed");
      return "accepted";
    },
  };
}

/** The envelope's JSON as bytes, in good PEM and beside the right certificate. */
export function licenseEnvelope(): Target {
  const desk = createDesk();
  const { confFile, contentKey } = sealConf(desk);
  const payload = fill(JSON.stringify(licenseWithMarks), desk, confFile, contentKey);
  const whole = signLicense(payload, desk.vendor.issuer);
  const [block] = parsePem(whole);
  const envelope = JSON.parse(block!.bytes.toString());
  const [signature] = envelope.signatures;
  const marks = { "@payload": envelope.payload, "@keyid": signature.keyid, "@sig": signature.sig };
  const withMarks = {
    payloadType: envelope.payloadType,
    payload: "@payload",
    signatures: [{ keyid: "@keyid", sig: "@sig" }],
  };
  const certificate = desk.vendor.issuer.certificate.toString();
  return {
    codes: readCodes,
    starts: [Buffer.from(JSON.stringify(withMarks))],
    mutate: mutateJson,
    maxBytes: 2048,
    run(input) {
      let json = input.toString("latin1");
      for (const [mark, value] of Object.entries(marks)) json = json.replaceAll(mark, value);
      const file = `${formatPem("SIGNET LICENSE", Buffer.from(json, "latin1"))}${certificate}`;
      const { license } = verifySignedLicense(Buffer.from(file), [desk.vendor.trustRoot]);
      hold(isDeepStrictEqual(license, JSON.parse(payload)), "an accepted license says what was signed");
      return "accepted";
    },
  };
}

/** What license.lic says, signed anew after every change, through the whole of first authorization's license steps. */
export function licensePayload(): Target {
  const desk = createDesk();
  const { confFile, contentKey } = sealConf(desk);
  return {
    codes: authorizeCodes,
    starts: [
      { ...licenseWithMarks },
      { ...licenseWithMarks, product: "other" },
      { ...licenseWithMarks, expires: "2026-05-25T00:00:00Z", enforcement: "grace" },
      { ...licenseWithMarks, expires: "2026-04-01T00:00:00Z", enforcement: "advisory", kind: "trial" },
      {
        ...licenseWithMarks,
        host: {
          ...licenseWithMarks.host,
          components: [
            { type: "gpu", weight: 3, hash: "AAAA" },
            { type: "cpu", weight: 1, hash: "AAAA" },
          ],
        },
      },
    ].map((license) => Buffer.from(JSON.stringify(license))),
    mutate: mutateJson,
    maxBytes: 8192,
    async run(input) {
      const text = fill(input.toString(), desk, confFile, contentKey);
      const { license } = await authorize(desk, signLicense(text, desk.vendor.issuer), confFile);
      hold(isDeepStrictEqual(license, JSON.parse(text)), "an authorized license says what was signed");
      return "accepted";
    },
  };
}

/** What license.conf says, encrypted and digested anew after every change. */
export function licenseConf(): Target {
  const desk = createDesk();
  const { secret, contentKey } = sealConf(desk);
  const license = JSON.stringify(licenseWithMarks);
  return {
    codes: authorizeCodes,
    starts: [Buffer.from(JSON.stringify(conf))],
    mutate: mutateJson,
    maxBytes: 8192,
    async run(input) {
      const confFile = xor(input, secret);
      const text = fill(license, desk, confFile, contentKey);
      const { conf: accepted } = await authorize(desk, signLicense(text, desk.vendor.issuer), confFile);
      hold(
        isDeepStrictEqual(accepted, JSON.parse(input.toString())),
        "an authorized configuration is the encrypted one",
      );
      return "accepted";
    },
  };
}

/** license.conf as bytes: every change of what was encrypted is refused by its digests. */
export function licenseConfFile(): Target {
  const desk = createDesk();
  const { confFile, contentKey } = sealConf(desk);
  const file = signLicense(fill(JSON.stringify(licenseWithMarks), desk, confFile, contentKey), desk.vendor.issuer);
  return {
    codes: ["CONF_DIGEST_MISMATCH"],
    starts: [confFile],
    mutate: mutateBytes,
    isWhole: true,
    maxBytes: 8192,
    async run(input) {
      await authorize(desk, file, input);
      hold(digestsOf(input).sha256 === digestsOf(confFile).sha256, "an authorized file is the encrypted one");
      return "accepted";
    },
  };
}

function authorize(desk: Desk, licenseBytes: Buffer, confBytes: Uint8Array) {
  const input: AuthorizationInput = {
    licenseFile: licenseBytes,
    confFile: confBytes,
    roots: [desk.vendor.trustRoot],
    revocationLists: [],
    revocationNumbers: [],
    highestSequence: () => 0,
    isDeactivated: () => false,
    now,
    hostKey: desk.hostKey,
    machine,
  };
  return authorizeLicense(input);
}

/** As conf.ts encrypts, but any bytes; encryptConf takes only a configuration that is right. */
function xor(bytes: Buffer, secret: Buffer): Buffer {
  const keystream = createHash("shake256", { outputLength: bytes.length })
    .update("signet/license.conf/v1\0")
    .update(secret)
    .digest();
  return Buffer.from(bytes.map((byte, index) => byte ^ keystream[index]!));
}
