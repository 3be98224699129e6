import type { KeyObject, X509Certificate } from "node:crypto";
import { asn1FromDer, draftCertificate } from "../../src/certs/index.ts";
import { licenseIssuingExtension } from "../../src/license/index.ts";
import type { Signer } from "./signer.ts";

const ROOT_YEARS = 20;
const ISSUER_YEARS = 2;
/** Clocks differ: a certificate made now must already be valid on a host that is a little behind. */
const CLOCK_TOLERANCE_MS = 24 * 3600 * 1000;

/** A self-signed CA certificate that may sign issuers and nothing below them. */
export function createRootCertificate(vendor: string, root: Signer, now: Date): Promise<X509Certificate> {
  return signByRoot(vendor, root, {
    subject: rootName(vendor),
    publicKey: root.publicKey,
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
  root: Signer,
  now: Date,
): Promise<X509Certificate> {
  return signByRoot(vendor, root, {
    subject: { organization: vendor, commonName: `${vendor} Signet license issuer` },
    publicKey,
    ...validity(now, ISSUER_YEARS),
    extensions: [
      { name: "basicConstraints", critical: true, cA: false },
      { name: "keyUsage", critical: true, digitalSignature: true },
      { id: "2.5.29.37", critical: true, value: asn1FromDer(licenseIssuingExtension) },
    ],
  });
}

/** @throws VENDOR_SIGNER_FAILED */
async function signByRoot(
  vendor: string,
  root: Signer,
  content: Omit<Parameters<typeof draftCertificate>[0], "signer">,
): Promise<X509Certificate> {
  const { publicKey } = root;
  const algorithm = publicKey.asymmetricKeyType === "rsa" ? "rsa-pss" : "ed25519";
  const draft = draftCertificate({ ...content, signer: { subject: rootName(vendor), publicKey, algorithm } });
  return draft.complete(await root.sign(draft.toBeSigned));
}

function rootName(vendor: string) {
  return { organization: vendor, commonName: `${vendor} Signet root` };
}

function validity(now: Date, years: number) {
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(now.getUTCFullYear() + years);
  return { notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS), notAfter };
}
