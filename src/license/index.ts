export { type AuthorizedLicense, authorizeLicense, type SignedLicense, verifySignedLicense } from "./authorize.ts";
export { keyIdOf, LICENSE_ISSUING_OID, licenseIssuingExtension, verifyChain, weaknessOfKey } from "./certificates.ts";
export { MAC_BYTES, openLine, sealLine, splitLine } from "./chain.ts";
export { decryptConf, encryptConf, MAX_CONF_BYTES } from "./conf.ts";
export { verifyConfAgrees } from "./conf-agreement.ts";
export { createContentSecret, wrapContentKey } from "./content-key.ts";
export { digestsOf, sameDigests } from "./digests.ts";
export { parseDocument } from "./document.ts";
export { DRIFT_NEXT, describeDrift, describeHostMatch, describePoints } from "./drift.ts";
export { enforcedLimits, isOver, type LicenseTime, licenseTimeAt } from "./enforcement.ts";
export { type Envelope, type EnvelopeKind, envelopeKinds, parseEnvelope, preAuthEncoding } from "./envelope.ts";
export { enroll, type FingerprintMatch, isWeak, matchFingerprint, thresholdFor, weightOf } from "./fingerprint.ts";
export { bindLedger, createHostKey, type HostKey, openHostKey } from "./host-key.ts";
export { type Ledger, openLedger } from "./ledger.ts";
export { type Anchor, AnchorFile, type AnchorReading, readAnchor } from "./ledger-anchor.ts";
export { compressArchive } from "./ledger-archive.ts";
export { JournalFile, SEGMENT_BYTES } from "./ledger-journal.ts";
export type { RunTicket } from "./ledger-meter.ts";
export { type LedgerPlace, readLedger } from "./ledger-place.ts";
export { type LedgerState, verifyClock } from "./ledger-state.ts";
export { isNearEnd, type Usage, warningsOf } from "./license-warnings.ts";
export { readMachine } from "./machine.ts";
export type { Machine, MachineFact } from "./machine-fact.ts";
export { crossCheckMachine } from "./machine-systeminformation.ts";
export { pluginConfigOf } from "./plugin-config.ts";
export { readSmallFile } from "./read-file.ts";
export { createDeactivationReceipt, parseDeactivationReceipt } from "./receipt.ts";
export { createHostRequest, parseHostRequest } from "./request.ts";
export {
  isSameSigner,
  parseRevocationList,
  type RevocationNumber,
  readRevocationListFile,
  type SignedRevocationList,
  verifyListsCurrent,
  verifyNotRevoked,
} from "./revocation.ts";
export {
  batchingObstacle,
  type Component,
  type ComponentType,
  type DeactivationReceipt,
  type Digests,
  type Enforcement,
  type Entitlements,
  enforcements,
  entitlementsSchema,
  type FileRole,
  type HostRequest,
  type LedgerHead,
  type License,
  type LicenseConf,
  type LicensedFile,
  type LicensedService,
  type LicenseKind,
  type Limits,
  label,
  ledgerHeadSchema,
  licenseKinds,
  licenseSchema,
  limitsSchema,
  maxBatchSizeSchema,
  PRODUCT,
  payloadTypes,
  pluginConfigSchema,
  type RevocationList,
  revocationListSchema,
  type ServiceConf,
} from "./schema.ts";
export { assembleEnvelope, isSignature, isSignedBy, signBytes, signEnvelope } from "./sign.ts";
export { formatJson } from "./strict-json.ts";
export { syncPath, syncPathNow, syncTree } from "./sync-path.ts";
export { addTrustRoot, loadTrustRoots, parseTrustRoot, removeTrustRoot, type TrustRoot } from "./trust-root.ts";
export {
  describeGrace,
  parseLicenseEnvelope,
  readConfFile,
  readLicenseFile,
  verifyConfDigests,
  verifyFingerprint,
  verifyHostKey,
  verifyNotDeactivated,
  verifySequence,
  verifyStillTrusted,
  verifyTime,
} from "./verify.ts";
export { createFile, createPrivateFile, replaceFile } from "./write-file.ts";
