import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import type { ResolvedListen } from "../config/index.ts";
import { fileError, SignetError } from "../errors.ts";

type TlsFiles = NonNullable<ResolvedListen["tls"]>;

/** Reads and tries the TLS files, without a port. @throws FILE_UNREADABLE, CONFIG_INVALID */
export function createCredentials({ tls }: Pick<ResolvedListen, "tls">): ServerCredentials {
  return tls === null ? ServerCredentials.createInsecure() : new TlsCredentials(tls);
}

/** TLS whose certificates can be replaced: new connections get the new ones, and those that are open go on. */
export class TlsCredentials extends ServerCredentials {
  readonly #files: TlsFiles;
  #version: string;
  #certificate: X509Certificate;

  /** @throws FILE_UNREADABLE, CONFIG_INVALID */
  constructor(files: TlsFiles) {
    const version = versionOf(files);
    const context = readContext(files);
    super(
      {
        requestCert: files.clientCa !== null,
        // Where a certificate is not required, a bad one counts as none, and the call needs a token.
        rejectUnauthorized: files.requireClientCertificate,
      },
      context,
    );
    this.#files = files;
    this.#version = version;
    this.#certificate = new X509Certificate(context.cert);
  }

  /** The server's own certificate, as new connections get it. */
  get certificate(): X509Certificate {
    return this.#certificate;
  }

  /**
   * Reads the files again where one of them has changed. Whatever is wrong with them leaves what is in use, and is
   * thrown once for each change.
   *
   * @returns whether there is something new
   * @throws FILE_UNREADABLE, CONFIG_INVALID
   */
  reload(): boolean {
    const version = versionOf(this.#files);
    if (version === this.#version) return false;
    this.#version = version;
    const context = readContext(this.#files);
    this.updateSecureContextOptions(context);
    this.#certificate = new X509Certificate(context.cert);
    return true;
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function readContext({ cert, key, clientCa }: TlsFiles): SecureContextOptions & { cert: Buffer } {
  const context = {
    cert: read(cert),
    key: read(key),
    ...(clientCa === null ? {} : { ca: read(clientCa) }),
    minVersion: "TLSv1.2",
  } as const;
  try {
    // grpc-js looks at none of it before the first client comes.
    createSecureContext(context);
    if (context.ca) new X509Certificate(context.ca);
    return context;
  } catch (error) {
    const words = "tls: expected a certificate with its key, and certificates in clientCa, found something else";
    throw new SignetError("CONFIG_INVALID", words, { cause: error });
  }
}

/** Changes whenever a file does, or whether it is there. */
function versionOf({ cert, key, clientCa }: TlsFiles): string {
  const files = clientCa === null ? [cert, key] : [cert, key, clientCa];
  return files
    .map((file) => {
      const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
      return stats === undefined ? "none" : `${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
    })
    .join(" ");
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
