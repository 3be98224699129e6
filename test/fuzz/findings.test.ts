import { describe, expect, test } from "vitest";
import { parseYaml } from "../../src/config/parse-yaml.ts";
import { tensorsFromReply } from "../../src/engine/output.ts";
import { FrameParser } from "../../src/http2/frame-parser.ts";
import { CLIENT_PREFACE } from "../../src/http2/frames.ts";
import { verifySignedLicense } from "../../src/license/authorize.ts";
import { formatPem } from "../../src/license/pem.ts";
import { parseTrustRoot } from "../../src/license/trust-root.ts";
import { createVendor, signLicense } from "../../src/license/vendor.fixture.ts";
import { useLibraryWithSymbols } from "../../src/plugin/elf.fixture.ts";
import { exportedSymbols } from "../../src/plugin/elf-symbols.ts";
import { attacksOn } from "../helpers/attack.ts";
import { codeOf } from "../helpers/code-of.ts";
import { der, formatDer } from "./der.ts";
import type { Field } from "./mutate-tree.ts";
import { signedCertificate, toBeSigned } from "./targets/certificates.ts";

const attack = attacksOn("the readers of untrusted bytes");

/** What the fuzzer found, each in its smallest form. */

const vendor = createVendor();

/** Places in what is signed of a certificate, RFC 5280 section 4.1. */
const VALIDITY = 4;
const SUBJECT = 5;
const PUBLIC_KEY = 6;

function changedCertificate(part: number, change: (field: Field) => void, of = vendor.issuer): Buffer {
  const [body] = der.parse(toBeSigned(of.certificate.raw))!;
  change((body!.value as Field[])[part]!);
  return signedCertificate(formatDer([body!]), vendor.root.key);
}

const changes: [string, number, (field: Field) => void][] = [
  [
    "without a name",
    SUBJECT,
    (name) => {
      name.value = Buffer.alloc(0);
    },
  ],
  [
    "with a key of an unknown kind",
    PUBLIC_KEY,
    (key) => {
      const [algorithm] = key.value as Field[];
      algorithm!.value = [{ head: 0x06, value: Buffer.from("2b6571", "hex").fill(0x7f, 2) }];
    },
  ],
  [
    "with a date that does not exist",
    VALIDITY,
    (validity) => {
      const [, end] = validity.value as Field[];
      end!.value = Buffer.from("20309901000000Z");
    },
  ],
];

describe("a certificate", () => {
  test.each(changes)(
    "%s makes a license malformed, whoever signed it",
    attack.each("brings a certificate that makes the reader stumble"),
    (_, part, change) => {
      const [license] = signLicense({}, vendor.issuer).toString().split("-----BEGIN CERTIFICATE");
      const file = license! + formatPem("CERTIFICATE", changedCertificate(part, change));
      expect(codeOf(() => verifySignedLicense(Buffer.from(file), [vendor.trustRoot]))).toBe("LICENSE_MALFORMED");
    },
  );

  test.each(changes)(
    "%s is no root",
    attack.each("has a root pinned that makes the reader stumble"),
    (_, part, change) => {
      const pem = formatPem("CERTIFICATE", changedCertificate(part, change, vendor.root));
      expect(codeOf(() => parseTrustRoot(Buffer.from(pem)))).toBe("TRUST_ROOT_INVALID");
    },
  );
});

test("outputs are copied out of a slot that is a Buffer, too", () => {
  const slot = Buffer.from([1, 2, 3, 4]);
  const outputs = [{ dtype: 2, shape: [4], offset: 0, bytes: 4 }];
  const [tensor] = tensorsFromReply(
    "demo",
    { ok: true, outputs, runUs: 1 },
    [{ name: "out", datatype: "UINT8", shape: [4] }],
    slot,
    false,
  );
  slot.fill(0);
  expect([...tensor!.data]).toEqual([1, 2, 3, 4]);
});

test("a mapping as a key of a configuration writes nothing to the terminal", async () => {
  const warnings: Error[] = [];
  const listen = (warning: Error) => void warnings.push(warning);
  process.on("warning", listen);
  parseYaml("{ a: 1 }: 2", "signet.yaml", "CONFIG_INVALID");
  // Warnings are emitted on the next tick.
  await new Promise(setImmediate);
  process.off("warning", listen);
  expect(warnings).toEqual([]);
});

test(
  "chains of a symbol table that share symbols are refused before they become millions of names",
  attack("has few symbols become millions", "chains that share symbols"),
  () => {
    expect(exportedSymbols(useLibraryWithSymbols([1, 2], [1, 1]))).toHaveLength(2);
    expect(codeOf(() => exportedSymbols(useLibraryWithSymbols([1, 1], [0, 1])))).toBe("PLUGIN_INCOMPATIBLE");
  },
);

test("the padding of DATA is read from its frame, also where the frame's head was all that had come", () => {
  const content: string[] = [];
  const parser = new FrameParser(
    {
      onDataBegin: () => undefined,
      onData: (bytes, start, end) => content.push(bytes.toString("latin1", start, end)),
      onDataEnd: () => content.push("end"),
      onFrame: () => content.push("another frame"),
    },
    16_384,
    512,
  );
  parser.push(CLIENT_PREFACE, 0, CLIENT_PREFACE.length);
  // Length 4, DATA, PADDED, stream 1; then one byte of padding behind two of content.
  const frame = Buffer.from("000004 00 08 00000001 01 6f6b 00".replaceAll(" ", ""), "hex");
  parser.push(frame, 0, 9);
  parser.push(frame, 9, frame.length);
  expect(content).toEqual(["ok", "end"]);
});
