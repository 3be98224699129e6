import { createPublicKey, type KeyObject, randomBytes, randomUUID } from "node:crypto";
import { SignetError } from "../errors.ts";
import { importX25519 } from "./content-key.ts";
import { parseDocument } from "./document.ts";
import { envelopeKinds, parseEnvelope } from "./envelope.ts";
import { enroll, isWeak } from "./fingerprint.ts";
import type { HostKey } from "./host-key.ts";
import type { Machine } from "./machine-fact.ts";
import { type HostRequest, hostRequestSchema, type LedgerHead, PRODUCT } from "./schema.ts";
import { isSignedBy, signEnvelope } from "./sign.ts";
import { formatJson } from "./strict-json.ts";

/** host.req as PEM text: who this host is, without a raw serial number, signed with the host's own key. */
export async function createHostRequest(host: {
  hostKey: HostKey;
  machine: Machine;
  ledger?: LedgerHead | undefined;
  now?: Date;
}): Promise<string> {
  const { hostKey, machine, ledger, now = new Date() } = host;
  const salt = randomBytes(32);
  const components = await enroll(machine, salt);
  const request: HostRequest = {
    v: 1,
    product: PRODUCT,
    requestId: randomUUID(),
    createdAt: now.toISOString(),
    host: {
      signingKey: hostKey.signingPublic.toString("base64"),
      wrappingKey: hostKey.wrappingPublic.toString("base64"),
      salt: salt.toString("base64"),
      platform: machine.platform,
      components,
      weak: isWeak(components),
      os: machine.os,
      arch: machine.arch,
    },
    ...(ledger === undefined ? {} : { ledger }),
  };
  return signEnvelope({
    kind: envelopeKinds.request,
    payload: Buffer.from(formatJson(request)),
    key: hostKey.signing,
  });
}

/**
 * Reads a request and verifies that whoever made it holds the private half of the signing key inside it.
 *
 * @throws REQUEST_INVALID
 */
export function parseHostRequest(file: Uint8Array): HostRequest {
  const envelope = parseEnvelope(file, envelopeKinds.request);
  const request = parseDocument(hostRequestSchema, envelope.payload, { what: "host request", code: "REQUEST_INVALID" });
  const { signingKey, wrappingKey, salt, components, weak } = request.host;
  const key = importEd25519(Buffer.from(signingKey, "base64"));
  if (key === undefined) throw invalid("host.signingKey: expected an Ed25519 key");
  if (!isSignedBy(envelope, key)) throw invalid("expected a signature by the host key inside, found another");
  if (importX25519(Buffer.from(wrappingKey, "base64")) === undefined) {
    throw invalid("host.wrappingKey: expected an X25519 key");
  }
  if (Buffer.from(salt, "base64").length !== 32) throw invalid("host.salt: expected 32 bytes");
  // Computed, not believed: the vendor decides by it.
  if (weak !== isWeak(components)) throw invalid("host.weak contradicts the components");
  return request;
}

/** An Ed25519 public key from exactly its SPKI DER, else undefined. */
export function importEd25519(der: Buffer): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    const exact = key.export({ format: "der", type: "spki" }).equals(der);
    return key.asymmetricKeyType === "ed25519" && exact ? key : undefined;
  } catch {
    return undefined;
  }
}

function invalid(reason: string): SignetError {
  return new SignetError("REQUEST_INVALID", `host request: ${reason}`);
}
