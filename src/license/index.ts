export { type AuthorizedLicense, authorizeLicense, type SignedLicense, verifySignedLicense } from "./authorize.ts";
export { keyIdOf, LICENSE_ISSUING_OID, licenseIssuingExtension, verifyChain, weaknessOfKey } from "./certificates.ts";
export { decryptConf, encryptConf, MAX_CONF_BYTES } from "./conf.ts";
export { verifyConfAgrees } from "./conf-agreement.ts";
export { createContentSecret, wrapContentKey } from "./content-key.ts";
export { digestsOf, sameDigests } from "./digests.ts";
export { parseDocument } from "./document.ts";
export { type Envelope, envelopeKinds, parseEnvelope } from "./envelope.ts";
export { enroll, type FingerprintMatch, isWeak, matchFingerprint, thresholdFor, weightOf } from "./fingerprint.ts";
export { bindLedger, createHostKey, type HostKey, openHostKey } from "./host-key.ts";
export { type Ledger, openLedger } from "./ledger.ts";
export type { RunTicket } from "./ledger-meter.ts";
export { type LedgerPlace, readLedger } from "./ledger-place.ts";
export { type LedgerState, verifyClock } from "./ledger-state.ts";
export { readMachine } from "./machine.ts";
export type { Machine } from "./machine-fact.ts";
export { crossCheckMachine } from "./machine-systeminformation.ts";
export { readSmallFile } from "./read-file.ts";
export { createHostRequest, parseHostRequest } from "./request.ts";
export { parseRevocationList, readRevocationListFile, verifyNotRevoked } from "./revocation.ts";
export {
  type Component,
  type ComponentType,
  type Digests,
  type FileRole,
  type HostRequest,
  type LedgerHead,
  type License,
  type LicenseConf,
  type LicensedFile,
  type LicensedService,
  type Limits,
  label,
  licenseSchema,
  PRODUCT,
  type RevocationList,
  revocationListSchema,
  type ServiceConf,
} from "./schema.ts";
export { isSignedBy, signEnvelope } from "./sign.ts";
export { formatJson } from "./strict-json.ts";
export { addTrustRoot, loadTrustRoots, parseTrustRoot, removeTrustRoot, type TrustRoot } from "./trust-root.ts";
export {
  type LicenseTime,
  readConfFile,
  readLicenseFile,
  verifyConfDigests,
  verifyFingerprint,
  verifyHostKey,
  verifySequence,
  verifyTime,
} from "./verify.ts";
export { createFile } from "./write-file.ts";
