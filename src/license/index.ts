export {
  type AuthorizationInput,
  type AuthorizedLicense,
  authorizeLicense,
  type SignedLicense,
  verifySignedLicense,
} from "./authorize.ts";
export {
  keyIdOf,
  LICENSE_ISSUING_OID,
  licenseIssuingExtension,
  type TrustedIssuer,
  verifyChain,
  verifyIssuedInTime,
  weaknessOfKey,
} from "./certificates.ts";
export { decryptConf, encryptConf, MAX_CONF_BYTES } from "./conf.ts";
export { verifyConfAgrees } from "./conf-agreement.ts";
export { createContentSecret, unwrapContentKey, wrapContentKey } from "./content-key.ts";
export { digestsOf, sameDigests } from "./digests.ts";
export { parseDocument } from "./document.ts";
export { type Envelope, type EnvelopeKind, envelopeKinds, parseEnvelope } from "./envelope.ts";
export { enroll, type FingerprintMatch, isWeak, matchFingerprint, thresholdFor, weightOf } from "./fingerprint.ts";
export { bindLedger, createHostKey, type HostKey, openHostKey } from "./host-key.ts";
export { type Ledger, type LedgerOptions, openLedger, type RunLimits } from "./ledger.ts";
export type { LedgerClock } from "./ledger-clock.ts";
export type { RunTicket } from "./ledger-meter.ts";
export { type LedgerPlace, readLedger } from "./ledger-place.ts";
export { type LedgerState, verifyClock } from "./ledger-state.ts";
export { readMachine } from "./machine.ts";
export type { Machine, MachineFact } from "./machine-fact.ts";
export { collectWithSysteminformation, crossCheckMachine, type Disagreement } from "./machine-systeminformation.ts";
export { readSmallFile } from "./read-file.ts";
export { createHostRequest, parseHostRequest } from "./request.ts";
export { parseRevocationList, readRevocationListFile, verifyNotRevoked } from "./revocation.ts";
export {
  type Component,
  type ComponentType,
  componentSchema,
  componentTypes,
  type Digests,
  digestsSchema,
  type FileRole,
  fileRoles,
  type HostRequest,
  hostRequestSchema,
  type LedgerHead,
  type License,
  type LicenseConf,
  type LicensedFile,
  type LicensedService,
  type Limits,
  label,
  ledgerHeadSchema,
  licenseConfSchema,
  licensedFileSchema,
  licenseSchema,
  limitsSchema,
  type Platform,
  PRODUCT,
  payloadTypes,
  platforms,
  type RevocationList,
  revocationListSchema,
  type ServiceConf,
  serviceConfSchema,
  tensorSpecSchema,
} from "./schema.ts";
export { isSignedBy, signEnvelope } from "./sign.ts";
export { formatJson, parseStrictJson, StrictJsonError } from "./strict-json.ts";
export { addTrustRoot, loadTrustRoots, parseTrustRoot, removeTrustRoot, type TrustRoot } from "./trust-root.ts";
export {
  type LicenseTime,
  parseLicense,
  parseLicenseEnvelope,
  readConfFile,
  readLicenseFile,
  type SignedPayload,
  verifyConfDigests,
  verifyFingerprint,
  verifyHostKey,
  verifyIssuer,
  verifyProduct,
  verifySequence,
  verifySignature,
  verifyTime,
} from "./verify.ts";
export { createFile } from "./write-file.ts";
