import type { KeyObject, X509Certificate } from "node:crypto";
import { asn1FromDer, createCertificate, type KeyPair } from "../../src/certs/index.ts";
import { licenseIssuingExtension } from "../../src/license/index.ts";

export type { KeyPair } from "../../src/certs/index.ts";

const ROOT_YEARS = 20;
const ISSUER_YEARS = 2;
/** Clocks differ: a certificate made now must already be valid on a host that is a little behind. */
const CLOCK_TOLERANCE_MS = 24 * 3600 * 1000;

/** A self-signed CA certificate that may sign issuers and nothing below them. */
export function createRootCertificate(vendor: string, keys: KeyPair, now: Date): X509Certificate {
  return createCertificate({
    subject: rootName(vendor),
    publicKey: keys.publicKey,
    signer: { subject: rootName(vendor), keys },
    ...validity(now, ROOT_YEARS),
    extensions: [
      { name: "basicConstraints", critical: true, cA: true, pathLenConstraint: 0 },
      { name: "keyUsage", critical: true, keyCertSign: true, cRLSign: true },
    ],
  });
}

/** A certificate for one purpose: signing licenses. It cannot sign other certificates. */
export function createIssuerCertificate(
  vendor: string,
  publicKey: KeyObject,
  root: KeyPair,
  now: Date,
): X509Certificate {
  return createCertificate({
    subject: { organization: vendor, commonName: `${vendor} Signet license issuer` },
    publicKey,
    signer: { subject: rootName(vendor), keys: root },
    ...validity(now, ISSUER_YEARS),
    extensions: [
      { name: "basicConstraints", critical: true, cA: false },
      { name: "keyUsage", critical: true, digitalSignature: true },
      { id: "2.5.29.37", critical: true, value: asn1FromDer(licenseIssuingExtension) },
    ],
  });
}

function rootName(vendor: string) {
  return { organization: vendor, commonName: `${vendor} Signet root` };
}

function validity(now: Date, years: number) {
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(now.getUTCFullYear() + years);
  return { notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS), notAfter };
}
