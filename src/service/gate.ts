import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import type { Access, Identity } from "./access.ts";
import type { CallQuotas } from "./call-quotas.ts";

export interface GateParts {
  readonly access: Access;
  readonly quotas: CallQuotas;
  readonly audit: AuditLog;
}

/** A call that may begin, and is counted until it is released. */
export interface Pass {
  readonly isAdmitted: true;
  readonly identity: Identity;
  release(): void;
}

export interface Refusal {
  readonly isAdmitted: false;
  readonly error: SignetError;
  /** When it makes sense to try again, ms; null where it does not. */
  readonly retryAfterMs: number | null;
}

/**
 * Finds out who calls and counts the call, before a byte of its message is looked at. A refusal goes into the audit
 * log.
 * @param authenticate throws UNAUTHENTICATED
 * @param peerOf the client's address, asked only where it is needed
 */
export function letIn(
  { quotas, audit }: GateParts,
  authenticate: () => Identity,
  peerOf: () => string,
): Pass | Refusal {
  let identity: Identity | null = null;
  let error: SignetError;
  let retryAfterMs: number | null = null;
  try {
    identity = authenticate();
    const admission = quotas.admit(identity);
    if (admission.isAdmitted) return { isAdmitted: true, identity, release: admission.release };
    ({ error, retryAfterMs } = admission);
  } catch (thrown) {
    error = SignetError.from(thrown);
  }
  audit.refused({ code: error.code, identity: identity?.name ?? null, peer: peerOf() });
  return { isAdmitted: false, error, retryAfterMs };
}
