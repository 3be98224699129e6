import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { ResolvedListen } from "../config/index.ts";
import { fileError, SignetError } from "../errors.ts";
import { isKeyOf } from "./key-pair.ts";

type TlsFiles = NonNullable<ResolvedListen["tls"]>;

/** What TLS needs of the files. */
export type TlsContext = SecureContextOptions & { readonly cert: Buffer };

/** What every listener asks of clients, whichever files are in use. */
export interface TlsDemands {
  readonly requestCert: boolean;
  /** Where a certificate is not required, a bad one counts as none, and the call needs a token. */
  readonly rejectUnauthorized: boolean;
}

/** Reads and tries the TLS files, without a port; null for plaintext. @throws FILE_UNREADABLE, CONFIG_INVALID */
export function openTls({ tls }: Pick<ResolvedListen, "tls">): ListenerTls | null {
  return tls === null ? null : new ListenerTls(tls);
}

/**
 * The TLS of all listeners, whose certificates can be replaced: new connections get the new ones, and those that are
 * open go on.
 */
export class ListenerTls {
  readonly demands: TlsDemands;
  readonly #files: TlsFiles;
  #version: string;
  #context: TlsContext;
  #certificate: X509Certificate;
  readonly #users: ((context: TlsContext) => void)[] = [];

  /** @throws FILE_UNREADABLE, CONFIG_INVALID */
  constructor(files: TlsFiles) {
    this.#files = files;
    this.#version = versionOf(files);
    this.#context = readContext(files);
    this.#certificate = new X509Certificate(this.#context.cert);
    this.demands = { requestCert: files.clientCa !== null, rejectUnauthorized: files.requireClientCertificate };
  }

  get context(): TlsContext {
    return this.#context;
  }

  /** The server's own certificate, as new connections get it. */
  get certificate(): X509Certificate {
    return this.#certificate;
  }

  /** Has a listener told whenever there are new files. */
  onReload(use: (context: TlsContext) => void): void {
    this.#users.push(use);
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
    this.#context = readContext(this.#files);
    this.#certificate = new X509Certificate(this.#context.cert);
    for (const use of this.#users) use(this.#context);
    return true;
  }
}

function readContext({ cert, key, clientCa }: TlsFiles): TlsContext {
  const context = {
    cert: read(cert),
    key: read(key),
    ...(clientCa === null ? {} : { ca: read(clientCa) }),
    minVersion: "TLSv1.2",
  } as const;
  try {
    // A listener looks at none of it before the first client comes.
    createSecureContext(context);
    if (context.ca) new X509Certificate(context.ca);
    return context;
  } catch (error) {
    const what = describeFault({ cert, key, clientCa }, context);
    throw new SignetError("CONFIG_INVALID", what, { cause: error });
  }
}

/** Which file it is, and what is wrong with it; OpenSSL says neither. */
function describeFault(
  { cert, key, clientCa }: Omit<TlsFiles, "requireClientCertificate">,
  context: TlsContext & { readonly key: Buffer },
): string {
  const certificate = parsed(() => new X509Certificate(context.cert));
  if (certificate === undefined) return `tls.cert: ${cert}: expected a certificate in PEM, found something else`;
  const isItsKey = isKeyOf(certificate, context.key);
  if (isItsKey === null) {
    return `tls.key: ${key}: expected a private key in PEM without a passphrase, found something else`;
  }
  if (!isItsKey) return `tls.key: ${key}: is not the key of ${cert}`;
  const ca = context.ca;
  if (Buffer.isBuffer(ca) && parsed(() => new X509Certificate(ca)) === undefined) {
    return `tls.clientCa: ${clientCa}: expected certificates in PEM, found something else`;
  }
  return `tls: ${cert}: expected a certificate that TLS can use with its key, found another`;
}

function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
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
