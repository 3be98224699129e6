import type { X509Certificate } from "node:crypto";
import { z } from "zod";
import { type ErrorCode, SignetError } from "../errors.ts";
import { parseCertificate } from "./certificates.ts";
import { parseDocument } from "./document.ts";
import { formatPem, type PemBlock, PemError, parseBase64, parsePem } from "./pem.ts";
import { payloadTypes } from "./schema.ts";
import { formatJson } from "./strict-json.ts";

/** What tells one kind of signed file from another, and how its faults are called. */
export interface EnvelopeKind {
  readonly what: string;
  readonly pemLabel: string;
  readonly payloadType: string;
  readonly maxBytes: number;
  /** The signer's certificate and at most one intermediate; the root is never taken from a file. */
  readonly maxCertificates: number;
  readonly malformed: ErrorCode;
  readonly tooLarge: ErrorCode;
}

const KIB = 1024;

export const envelopeKinds = {
  license: {
    what: "license.lic",
    pemLabel: "SIGNET LICENSE",
    payloadType: payloadTypes.license,
    maxBytes: 256 * KIB,
    maxCertificates: 2,
    malformed: "LICENSE_MALFORMED",
    tooLarge: "LICENSE_TOO_LARGE",
  },
  request: {
    what: "host request",
    pemLabel: "SIGNET HOST REQUEST",
    payloadType: payloadTypes.request,
    maxBytes: 256 * KIB,
    maxCertificates: 0,
    malformed: "REQUEST_INVALID",
    tooLarge: "REQUEST_INVALID",
  },
  revocation: {
    what: "revocation list",
    pemLabel: "SIGNET REVOCATION LIST",
    payloadType: payloadTypes.revocation,
    maxBytes: 1024 * KIB,
    maxCertificates: 2,
    malformed: "REVOCATION_LIST_INVALID",
    tooLarge: "REVOCATION_LIST_INVALID",
  },
  receipt: {
    what: "deactivation receipt",
    pemLabel: "SIGNET DEACTIVATION RECEIPT",
    payloadType: payloadTypes.receipt,
    maxBytes: 256 * KIB,
    maxCertificates: 0,
    malformed: "RECEIPT_INVALID",
    tooLarge: "RECEIPT_INVALID",
  },
} as const satisfies Record<string, EnvelopeKind>;

/** A DSSE envelope whose form is right. Nothing in it is believed before its signature is verified. */
export interface Envelope {
  readonly kind: EnvelopeKind;
  /** The exact bytes that were signed. They are parsed after verification and never re-serialized. */
  readonly payload: Buffer;
  /** SHA-256 of the signer's public key, SPKI DER, hex. */
  readonly keyId: string;
  readonly signature: Buffer;
  /** The signer's certificate first, then the one that issued it if that is not the root. */
  readonly certificates: readonly X509Certificate[];
}

// DSSE has no algorithm field, and none is added: the algorithm follows from the trusted key (attack: alg confusion).
const dsseSchema = z.strictObject({
  payloadType: z.string().max(200),
  payload: z.string(),
  signatures: z
    .array(z.strictObject({ keyid: z.string().regex(/^[0-9a-f]{64}$/), sig: z.string().max(2048) }))
    .length(1),
});

export function parseEnvelope(file: Uint8Array, kind: EnvelopeKind): Envelope {
  if (file.length > kind.maxBytes) {
    throw new SignetError(kind.tooLarge, `${kind.what}: expected at most ${kind.maxBytes} bytes, found ${file.length}`);
  }
  const malformed = (found: string) => new SignetError(kind.malformed, `${kind.what}: ${found}`);
  const [envelope, ...rest] = parseBlocks(file, kind);
  if (envelope?.label !== kind.pemLabel) {
    throw malformed(`expected the PEM block ${kind.pemLabel}, found ${envelope?.label ?? "none"}`);
  }
  if (rest.length > kind.maxCertificates) {
    throw malformed(`expected at most ${kind.maxCertificates} certificates, found ${rest.length} blocks`);
  }
  const dsse = parseDocument(dsseSchema, envelope.bytes, { what: `${kind.what}: envelope`, code: kind.malformed });
  // Signed, too, but compared first: a request must not be read as a license even by mistake.
  if (dsse.payloadType !== kind.payloadType) throw malformed(`expected the payload type ${kind.payloadType}`);
  const payload = parseBase64(dsse.payload);
  const signature = parseBase64(dsse.signatures[0]!.sig);
  if (payload === undefined || signature === undefined) throw malformed("expected canonical base64 in the envelope");
  const certificates = rest.map((block) => {
    const certificate = block.label === "CERTIFICATE" ? parseCertificate(block.bytes) : undefined;
    if (certificate === undefined) throw malformed(`expected a DER certificate in the PEM block ${block.label}`);
    return certificate;
  });
  return { kind, payload, keyId: dsse.signatures[0]!.keyid, signature, certificates };
}

export function formatEnvelope(envelope: Envelope): string {
  const dsse = formatJson({
    payloadType: envelope.kind.payloadType,
    payload: envelope.payload.toString("base64"),
    signatures: [{ keyid: envelope.keyId, sig: envelope.signature.toString("base64") }],
  });
  const certificates = envelope.certificates.map((certificate) => formatPem("CERTIFICATE", certificate.raw));
  return [formatPem(envelope.kind.pemLabel, Buffer.from(dsse)), ...certificates].join("");
}

/** The bytes DSSE signs: the payload's type is among them, so that one document is never taken for another. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `),
    payload,
  ]);
}

function parseBlocks(file: Uint8Array, kind: EnvelopeKind): PemBlock[] {
  try {
    return parsePem(file);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    throw new SignetError(kind.malformed, `${kind.what}: expected PEM, found ${error.message}`);
  }
}
