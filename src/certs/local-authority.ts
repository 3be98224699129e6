import { generateKeyPairSync, type X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { SignetError } from "../errors.ts";
import { createCertificate, type DistinguishedName, type KeyPair } from "./certificate.ts";

/** A certification authority of one site: it signs its servers' and clients' TLS certificates, and nothing else. */
export interface LocalAuthority {
  readonly certificate: X509Certificate;
  readonly keys: KeyPair;
}

const ORGANIZATION = "Signet local TLS";
const AUTHORITY_NAME: DistinguishedName = { organization: ORGANIZATION, commonName: "Signet local CA" };
const AUTHORITY_DAYS = 3650;
const DAY_MS = 86_400_000;
/** Clocks differ: a certificate made now must already be valid on a machine that is a little behind. */
const CLOCK_TOLERANCE_MS = DAY_MS;

/** P-256, since every TLS library takes it; many refuse Ed25519. */
export function createKeyPair(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

export function createAuthority(now: Date): LocalAuthority {
  const keys = createKeyPair();
  const certificate = createCertificate({
    subject: AUTHORITY_NAME,
    publicKey: keys.publicKey,
    signer: { subject: AUTHORITY_NAME, keys },
    ...validity(now, AUTHORITY_DAYS),
    extensions: [
      { name: "basicConstraints", critical: true, cA: true, pathLenConstraint: 0 },
      { name: "keyUsage", critical: true, keyCertSign: true, cRLSign: true },
    ],
  });
  return { certificate, keys };
}

/** @param names DNS names and IP addresses that clients connect to. @throws USAGE for anything else */
export function createServerCertificate(
  authority: LocalAuthority,
  keys: KeyPair,
  names: readonly string[],
  now: Date,
  days: number,
): X509Certificate {
  const [first] = names;
  if (first === undefined) throw new SignetError("USAGE", "expected at least one name for the server, found none");
  return createCertificate({
    subject: { organization: ORGANIZATION, commonName: first.slice(0, 64) },
    publicKey: keys.publicKey,
    signer: { subject: AUTHORITY_NAME, keys: authority.keys },
    ...validity(now, days),
    extensions: [
      { name: "basicConstraints", critical: true, cA: false },
      { name: "keyUsage", critical: true, digitalSignature: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: names.map(alternativeName) },
    ],
  });
}

export function createClientCertificate(
  authority: LocalAuthority,
  keys: KeyPair,
  name: string,
  now: Date,
  days: number,
): X509Certificate {
  return createCertificate({
    subject: { organization: ORGANIZATION, commonName: name },
    publicKey: keys.publicKey,
    signer: { subject: AUTHORITY_NAME, keys: authority.keys },
    ...validity(now, days),
    extensions: [
      { name: "basicConstraints", critical: true, cA: false },
      { name: "keyUsage", critical: true, digitalSignature: true },
      // So that a client's certificate cannot pretend to be a server of the same authority.
      { name: "extKeyUsage", clientAuth: true },
    ],
  });
}

const DNS_NAME = 2;
const IP_ADDRESS = 7;

function alternativeName(name: string): object {
  if (isIP(name) !== 0) return { type: IP_ADDRESS, ip: name };
  const label = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
  const [first = "", ...rest] = name.split(".");
  const isName = name.length <= 253 && (first === "*" || label.test(first)) && rest.every((part) => label.test(part));
  if (!isName) throw new SignetError("USAGE", `expected a DNS name or an IP address, found ${JSON.stringify(name)}`);
  return { type: DNS_NAME, value: name };
}

function validity(now: Date, days: number) {
  return {
    notBefore: new Date(now.getTime() - CLOCK_TOLERANCE_MS),
    notAfter: new Date(now.getTime() + days * DAY_MS),
  };
}
