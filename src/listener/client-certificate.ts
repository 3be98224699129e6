import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** By connection; null for one without a certificate that counts. */
const fingerprints = new WeakMap<object, string | null>();

/**
 * Of the client's certificate, where its connection has one that a CA of the configuration signed; lower-case hex.
 * Node describes a certificate anew each time it is asked, which costs a third of a call (60 to 100 us measured), so the
 * answer is kept with the connection. It cannot change there: HTTP/2 has no renegotiation (RFC 9113 section 9.2), and for
 * HTTP/1.1 the listener turns it off.
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
