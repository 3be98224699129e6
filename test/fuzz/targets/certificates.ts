import { sign } from "node:crypto";
import {
  LICENSE_ISSUING_OID,
  parseCertificate,
  verifyChain,
  verifyIssuedInTime,
} from "../../../src/license/certificates.ts";
import { formatPem } from "../../../src/license/pem.ts";
import { parseTrustRoot } from "../../../src/license/trust-root.ts";
import { createAuthority, createKey } from "../../../src/license/vendor.fixture.ts";
import { der, formatDer } from "../der.ts";
import { mutateFields } from "../mutate-tree.ts";
import { hold, type Target } from "../target.ts";
import { createDesk, now } from "./desk.ts";

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const ed25519 = Buffer.from("300506032b6570", "hex");

/** An issuer's certificate, what is to be signed of it changed and signed anew by the root. */
export function issuerCertificate(): Target {
  const { root, issuer } = createDesk().vendor;
  const bare = createAuthority({ name: "Bare", key: createKey("ed25519"), by: root, bare: true });
  const middle = createAuthority({ name: "Middle", key: createKey("ed25519"), by: root, ca: true });
  return {
    codes: ["LICENSE_UNTRUSTED"],
    starts: [issuer, bare, middle].map(({ certificate }) => toBeSigned(certificate.raw)),
    mutate: mutateFields(der),
    maxBytes: 2048,
    run(input) {
      const certificate = parseCertificate(signedCertificate(input, root.key));
      if (certificate === undefined) return "refused: no certificate";
      const trusted = verifyChain([certificate], [root.certificate]);
      verifyIssuedInTime(trusted, now);
      hold(!certificate.ca, "an issuer is no CA");
      hold(certificate.toLegacyObject().ext_key_usage?.includes(LICENSE_ISSUING_OID) === true, "it may issue licenses");
      return "accepted";
    },
  };
}

/** A root's certificate, changed and signed by itself. */
export function rootCertificate(): Target {
  const { root, issuer } = createDesk().vendor;
  return {
    codes: ["TRUST_ROOT_INVALID"],
    starts: [toBeSigned(root.certificate.raw), toBeSigned(issuer.certificate.raw)],
    mutate: mutateFields(der),
    maxBytes: 2048,
    run(input) {
      const pem = formatPem("CERTIFICATE", signedCertificate(input, root.key));
      hold(parseTrustRoot(Buffer.from(pem)).certificate.ca, "a root is a CA");
      return "accepted";
    },
  };
}

/** The first of the three parts of a certificate, DER. */
export function toBeSigned(certificate: Buffer): Buffer {
  const [outer] = der.parse(certificate)!;
  return formatDer([(outer!.value as { head: number; value: Buffer }[])[0]!]);
}

/** The three parts, with an Ed25519 signature. */
export function signedCertificate(body: Buffer, key: Parameters<typeof sign>[2]): Buffer {
  const signature = Buffer.concat([Buffer.from([0]), sign(null, body, key)]);
  const rest = formatDer([{ head: BIT_STRING, value: signature }]);
  return formatDer([{ head: SEQUENCE, value: Buffer.concat([body, ed25519, rest]) }]);
}
