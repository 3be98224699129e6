import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";
import type { ResolvedListen } from "../config/index.ts";
import { fileError, SignetError } from "../errors.ts";

/** Reads and tries the TLS certificate and key, without a port. @throws FILE_UNREADABLE, CONFIG_INVALID */
export function createCredentials({ tls }: Pick<ResolvedListen, "tls">): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure();
  const pair = { cert_chain: read(tls.cert), private_key: read(tls.key) };
  try {
    // grpc-js looks at neither before the first client comes.
    createSecureContext({ cert: pair.cert_chain, key: pair.private_key });
    return ServerCredentials.createSsl(null, [pair]);
  } catch (error) {
    throw new SignetError("CONFIG_INVALID", "tls: the certificate and key are not a usable pair", { cause: error });
  }
}

/** For a client: TLS with the CA certificates of a PEM file, plaintext without one. @throws FILE_UNREADABLE, USAGE */
export function createClientCredentials(caFile: string | undefined): ChannelCredentials {
  if (caFile === undefined) return ChannelCredentials.createInsecure();
  const pem = read(caFile);
  try {
    new X509Certificate(pem);
    return ChannelCredentials.createSsl(pem);
  } catch (cause) {
    // OpenSSL would take it for an empty list, and then no server for genuine.
    throw new SignetError("USAGE", `${caFile}: expected CA certificates in PEM, found none`, { cause });
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
