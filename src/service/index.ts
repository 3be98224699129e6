export { type Access, type Identity, openAccess } from "./access.ts";
export {
  addCertificate,
  addToken,
  type Role,
  readTokens,
  removeToken,
  roles,
  type TokenRecord,
} from "./access-file.ts";
export { reportSteps, type StepReport } from "./authorization-steps.ts";
export { type Admission, type CallLimits, CallQuotas } from "./call-quotas.ts";
export { deactivateLicense } from "./deactivate-license.ts";
export { examine } from "./doctor/examine.ts";
export type { DoctorFinding } from "./doctor/finding.ts";
export { type AuthorizedService, authorizeFirst, type FirstAuthorization } from "./first-authorization.ts";
export { type GateParts, letIn, type Pass, type Refusal } from "./gate.ts";
export { auditPlaceOf, openHostAudit, recordCommand } from "./host-audit.ts";
export { type DescribedGpu, HostDevices } from "./host-devices.ts";
export { openHostLedger, readHostLedger } from "./host-ledger.ts";
export type { InferCall, InferenceEnd, InferenceResult } from "./infer-call.ts";
export type { AnsweredOutput, InferInput, RequestedOutput } from "./infer-tensors.ts";
export { Inference, keepOutputs, type Service } from "./inference.ts";
export { installBundle } from "./install-bundle.ts";
export { authorizeInstalled, type InstalledAuthorization } from "./installed-authorization.ts";
export { readInstalledLicense } from "./installed-license.ts";
export { JobPlatform } from "./jobs/job-platform.ts";
export type { ArtifactInput } from "./jobs/job-request.ts";
export type { JobTally } from "./jobs/job-tally.ts";
export type { JobView } from "./jobs/job-view.ts";
export { type JobChange, type JobQuery, type JobRequest, Jobs } from "./jobs/jobs.ts";
export { type LicenseStatus, readLicenseStatus, type ServiceStatus } from "./license-status.ts";
export { LicenseUpkeep } from "./license-upkeep.ts";
export { LogSettings, type LogSettingValue } from "./log-settings.ts";
export { modelConfig, modelMetadata } from "./model-config.ts";
export { modelStatistics } from "./model-statistics.ts";
export { openOwnHostKey } from "./own-host-key.ts";
export { ProcessTally } from "./process-tally.ts";
export { readHostMachine } from "./read-host-machine.ts";
export {
  Repository,
  type RepositoryEntry,
  refuseContent,
  verifyUnloadParameters,
} from "./repository.ts";
export { ResponseCache } from "./response-cache.ts";
export { installRevocationList, readRevocationLists } from "./revocations.ts";
export { schedulingOf } from "./scheduling.ts";
export { SecondAuthorization } from "./second-authorization.ts";
export type { ServedParts } from "./served-parts.ts";
export { recordAuthorization, recordRefusal, recordServiceEvent, recordStart } from "./server-audit.ts";
export { serverMetadata } from "./server-metadata.ts";
export type { Duration, ServiceStatistics } from "./service-statistics.ts";
export { periodOf, remainingOf, serviceRefusal } from "./service-terms.ts";
export { readServingState } from "./serving-state.ts";
export { SharedMemory } from "./shared-memory.ts";
export { Tracing } from "./tracing.ts";
export { prepareWarmUp } from "./warm-up.ts";
