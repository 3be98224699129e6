import { createHash, createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { attacksOn, observed } from "../../test/helpers/attack.ts";
import { envelopeKinds, parseEnvelope, preAuthEncoding } from "./envelope.ts";
import { formatPem, PemError, parseBase64, parsePem } from "./pem.ts";
import { payloadTypes } from "./schema.ts";
import { isSignedBy, signEnvelope } from "./sign.ts";
import { createKey, createVendor } from "./vendor.fixture.ts";

const attack = attacksOn("licenses");

const vendor = createVendor();
const { key, certificate } = vendor.issuer;
const { license: kind } = envelopeKinds;
const payload = Buffer.from('{"a":1}');
const text = signEnvelope({ kind, payload, key, certificates: [certificate] });

const refusal = (code: string) => expect.objectContaining({ code });
const parse = (file: string | Uint8Array) => () => parseEnvelope(Buffer.from(file), kind);
const keyid = "0".repeat(64);

function dsse(change: object): string {
  const body = { payloadType: payloadTypes.license, payload: "e30=", signatures: [{ keyid, sig: "AAAA" }], ...change };
  return formatPem(kind.pemLabel, Buffer.from(JSON.stringify(body)));
}

test("what is signed comes back byte for byte, with its certificate", () => {
  const envelope = parseEnvelope(Buffer.from(text), kind);
  expect(envelope.payload).toEqual(payload);
  expect(envelope.certificates[0]!.raw).toEqual(certificate.raw);
  expect(isSignedBy(envelope, certificate.publicKey)).toBe(true);
});

test("CRLF line ends change nothing", () => {
  expect(parseEnvelope(Buffer.from(text.replaceAll("\n", "\r\n")), kind).payload).toEqual(payload);
});

test("the signed bytes are those of the DSSE specification", () => {
  // The protocol's own example.
  const encoded = preAuthEncoding("http://example.com/HelloWorld", Buffer.from("hello world"));
  expect(encoded.toString()).toBe("DSSEv1 29 http://example.com/HelloWorld 11 hello world");
});

test("RSA keys sign with PSS, which is salted, and Ed25519 keys deterministically", () => {
  const rsa = createKey("rsa");
  const sign = (signer: typeof key) =>
    createHash("md5")
      .update(signEnvelope({ kind, payload, key: signer }))
      .digest("hex");
  expect(sign(rsa)).not.toBe(sign(rsa));
  expect(sign(key)).toBe(sign(key));
});

describe("a file that is not an envelope in PEM is refused:", attack.each("makes a license in another form"), () => {
  test.each([
    ["nothing", ""],
    ["text before", `hello\n${text}`],
    ["text between the blocks", text.replace("-----\n-----BEGIN CERT", "-----\nhello\n-----BEGIN CERT")],
    ["text after", `${text}hello`],
    ["a header in the block", text.replace("LICENSE-----\n", "LICENSE-----\nComment: x\n\n")],
    ["a byte order mark", `\ufeff${text}`],
    ["no end", text.slice(0, text.indexOf("-----END"))],
    ["another end", text.replace("END SIGNET LICENSE", "END SIGNET LICENCE")],
    ["a block in a block", text.replace("-----END", "-----BEGIN CERTIFICATE-----\n-----END")],
    ["short lines", text.replace(/(LICENSE-----\n.{10})/, "$1\n")],
    ["the certificate first", certificate.toString() + text.slice(0, text.indexOf("-----BEGIN CERT"))],
    ["a host request", text.replaceAll("SIGNET LICENSE", "SIGNET HOST REQUEST")],
    ["a private key beside it", text + formatPem("PRIVATE KEY", Buffer.from("x"))],
    ["a broken certificate", text + formatPem("CERTIFICATE", Buffer.from("x"))],
    ["bytes after the certificate", formatPem("CERTIFICATE", Buffer.concat([certificate.raw, Buffer.from([0])]))],
    ["three certificates", text + certificate.toString() + certificate.toString()],
    ["a hundred blocks", text + formatPem("CERTIFICATE", Buffer.from("x")).repeat(100)],
    ["no JSON", formatPem(kind.pemLabel, Buffer.from("hello"))],
    ["no signature", dsse({ signatures: [] })],
    [
      "two signatures",
      dsse({
        signatures: [
          { keyid, sig: "AAAA" },
          { keyid, sig: "AAAA" },
        ],
      }),
    ],
    ["an algorithm field", dsse({ signatures: [{ keyid, sig: "AAAA", alg: "none" }] })],
    ["an unknown field", dsse({ note: "x" })],
    ["base64 with spaces", dsse({ payload: "e3 0=" })],
    ["base64url", dsse({ payload: "-_8=" })],
    ["base64 without padding", dsse({ payload: "e30" })],
    ["base64 with loose bits", dsse({ payload: "e31=" })],
    ["another payload type", dsse({ payloadType: payloadTypes.request })],
  ])("%s", (_, file) => {
    expect(parse(file)).toThrow(refusal("LICENSE_MALFORMED"));
  });
});

test("a file beyond the size cap is refused before it is looked at", attack("makes it huge", "beyond 256 KiB"), () => {
  expect(parse(Buffer.alloc(256 * 1024 + 1, "A"))).toThrow(refusal("LICENSE_TOO_LARGE"));
});

test("a document that would be beyond the size cap is not signed", () => {
  const big = Buffer.alloc(256 * 1024, " ");
  expect(() => signEnvelope({ kind, payload: big, key })).toThrow(refusal("LICENSE_TOO_LARGE"));
});

test(
  "a signature does not carry over to another payload type, even with the same key",
  attack("changes the type of what was signed", "another payload type, the same key"),
  () => {
    const request = signEnvelope({ kind: envelopeKinds.request, payload, key });
    const disguised = parseEnvelope(Buffer.from(request), { ...kind, ...envelopeKinds.request });
    expect(isSignedBy(disguised, certificate.publicKey)).toBe(true);
    expect(isSignedBy({ ...disguised, kind }, certificate.publicKey)).toBe(false);
    observed("nobody's signature");
  },
);

test(
  "a public key used as an HMAC secret or an unknown key type signs nothing",
  attack("signs by HMAC with the public key", "algorithm confusion"),
  () => {
    const envelope = parseEnvelope(Buffer.from(text), kind);
    expect(isSignedBy({ ...envelope, signature: Buffer.alloc(0) }, certificate.publicKey)).toBe(false);
    const secret = certificate.publicKey.export({ format: "pem", type: "spki" });
    const encoded = preAuthEncoding(kind.payloadType, payload);
    const signature = createHmac("sha256", secret).update(encoded).digest();
    expect(isSignedBy({ ...envelope, signature }, certificate.publicKey)).toBe(false);
    expect(isSignedBy({ ...envelope, keyId: keyid }, certificate.publicKey)).toBe(false);
    observed("nobody's signature");
  },
);

test("base64 has one spelling", () => {
  expect(parseBase64("AA==")).toEqual(Buffer.from([0]));
  for (const text of ["AA", "AB==", "A===", "AA==\n", " AA==", "AA-_"]) expect(parseBase64(text)).toBeUndefined();
});

test("PEM is written and read alike for every length around a line", () => {
  for (const length of [1, 47, 48, 49, 95, 96, 97]) {
    const bytes = Buffer.alloc(length, length);
    expect(parsePem(Buffer.from(formatPem("X", bytes)))).toEqual([{ label: "X", bytes }]);
  }
  expect(() => parsePem(Buffer.from(formatPem("X", Buffer.alloc(0))))).toThrow(PemError);
});
