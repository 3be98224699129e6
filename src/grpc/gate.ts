import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { AuditLog } from "../audit/index.ts";
import { SignetError } from "../errors.ts";
import type { Access, CallQuotas, Identity } from "../service/index.ts";

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

/** The standard trailer by which a server tells when to try again, ms. */
export const PUSHBACK_KEY = "grpc-retry-pushback-ms";

/**
 * Finds out who calls and counts the call, before a byte of its message is looked at. A refusal goes into the audit log.
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

/** By connection; null for one without a certificate that counts. */
const fingerprints = new WeakMap<object, string | null>();

/**
 * Of the client's certificate, where its connection has one that a CA of the configuration signed; lower-case hex.
 * Node describes a certificate anew each time it is asked, which costs a third of a call (60 to 100 us measured), so the
 * answer is kept with the connection. It cannot change while HTTP/2 is spoken (RFC 9113 section 9.2).
 */
export function fingerprintOf(connection: object | undefined, read: () => string | undefined): string | undefined {
  const known = connection && fingerprints.get(connection);
  if (known !== undefined) return known ?? undefined;
  const fingerprint = read()?.replaceAll(":", "").toLowerCase();
  if (connection) fingerprints.set(connection, fingerprint ?? null);
  return fingerprint;
}

/** The SHA-256 of the certificate that the client showed and TLS believed, as Node writes it. */
export function certificateOf(socket: Socket): string | undefined {
  const { authorized, getPeerCertificate } = socket as Partial<TLSSocket>;
  if (!authorized || !getPeerCertificate) return undefined;
  return (socket as TLSSocket).getPeerCertificate().fingerprint256;
}
