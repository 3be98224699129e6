import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SignetError } from "../errors.ts";
import { createPrivateFile, readSmallFile, replaceFile } from "../license/index.ts";
import type { KeyPair } from "./certificate.ts";
import {
  createAuthority,
  createClientCertificate,
  createKeyPair,
  createServerCertificate,
  type LocalAuthority,
} from "./local-authority.ts";

/** A certificate and its key, as written. */
export interface WrittenPair {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificate: X509Certificate;
}

export interface Issuing {
  readonly now: Date;
  /** Until the certificate expires. */
  readonly days: number;
}

const MAX_FILE_BYTES = 64 * 1024;

/**
 * Makes a site's own certification authority and a certificate for this server: ca.crt, ca.key, server.crt and
 * server.key.
 *
 * @throws FILE_EXISTS where there is one already, USAGE, FILE_UNREADABLE
 */
export async function createTlsDirectory(
  directory: string,
  names: readonly string[],
  issuing: Issuing,
): Promise<WrittenPair & { readonly authorityFile: string }> {
  const authority = createAuthority(issuing.now);
  const keys = createKeyPair();
  const certificate = createServerCertificate(authority, keys, names, issuing.now, issuing.days);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authorityFile = join(directory, "ca.crt");
  // The key first: where it exists nothing else is written.
  await createPrivateFile(join(directory, "ca.key"), pemOf(authority.keys.privateKey), 0o600).catch((error) => {
    if (error.code !== "FILE_EXISTS") throw error;
    // Whoever moves the authority away makes every client's certificate worthless.
    const hint = "for another certificate of this server run `signet certs server`";
    throw new SignetError("FILE_EXISTS", `${error.message}; ${hint}`, { cause: error });
  });
  await createPrivateFile(authorityFile, authority.certificate.toString(), 0o644);
  const pair = serverPair(directory, certificate);
  await createPrivateFile(pair.keyFile, pemOf(keys.privateKey), 0o600);
  await createPrivateFile(pair.certificateFile, certificate.toString(), 0o644);
  return { ...pair, authorityFile };
}

/**
 * Puts a new server certificate in the place of the present one; `names` of the present one where none are given. A
 * running server takes it within seconds.
 *
 * @throws USAGE, FILE_UNREADABLE
 */
export async function renewServerPair(
  directory: string,
  names: readonly string[],
  issuing: Issuing,
): Promise<WrittenPair> {
  const authority = await openAuthority(directory);
  const { certificateFile, keyFile } = serverPair(directory, authority.certificate);
  const wanted = names.length > 0 ? names : namesOf(parseCertificate(await read(certificateFile), certificateFile));
  const keys = createKeyPair();
  const certificate = createServerCertificate(authority, keys, wanted, issuing.now, issuing.days);
  // A server that reads between the two finds a pair that does not fit, keeps its own and reads again.
  await replaceFile(keyFile, pemOf(keys.privateKey), 0o600);
  await replaceFile(certificateFile, certificate.toString(), 0o644);
  return { certificateFile, keyFile, certificate };
}

/** Makes NAME.crt and NAME.key in `out`, for a client. @throws FILE_EXISTS, USAGE, FILE_UNREADABLE */
export async function createClientPair(
  directory: string,
  name: string,
  out: string,
  issuing: Issuing,
): Promise<WrittenPair> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(name)) {
    throw new SignetError("USAGE", `expected a name of letters, digits and . _ @ -, found ${JSON.stringify(name)}`);
  }
  const authority = await openAuthority(directory);
  const keys = createKeyPair();
  const certificate = createClientCertificate(authority, keys, name, issuing.now, issuing.days);
  const certificateFile = join(out, `${name}.crt`);
  const keyFile = join(out, `${name}.key`);
  await createPrivateFile(keyFile, pemOf(keys.privateKey), 0o600);
  await createPrivateFile(certificateFile, certificate.toString(), 0o644);
  return { certificateFile, keyFile, certificate };
}

async function openAuthority(directory: string): Promise<LocalAuthority> {
  const certificateFile = join(directory, "ca.crt");
  const keyFile = join(directory, "ca.key");
  const pem = await read(certificateFile).catch((error) => {
    if (error.cause?.code !== "ENOENT") throw error;
    throw new SignetError("FILE_UNREADABLE", `${error.message}; \`signet certs init\` makes it`, { cause: error });
  });
  const certificate = parseCertificate(pem, certificateFile);
  const privateKey = parseKey(await read(keyFile), keyFile);
  if (((await stat(keyFile)).mode & 0o077) !== 0) {
    throw new SignetError("USAGE", `${keyFile}: expected mode 0600; who could read it could make certificates`);
  }
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new SignetError("USAGE", `${keyFile}: is not the key of ${certificateFile}`);
  }
  const keys: KeyPair = { privateKey, publicKey: createPublicKey(privateKey) };
  return { certificate, keys };
}

function serverPair(directory: string, certificate: X509Certificate): WrittenPair {
  return { certificateFile: join(directory, "server.crt"), keyFile: join(directory, "server.key"), certificate };
}

/** DNS names and addresses of a certificate that this module made. */
function namesOf({ subjectAltName = "" }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map((match) => match[1]!);
}

function read(path: string): Promise<Buffer> {
  return readSmallFile(path, {
    maxBytes: MAX_FILE_BYTES,
    missing: "FILE_UNREADABLE",
    tooLarge: "USAGE",
    what: "a key or certificate in PEM",
  });
}

function parseCertificate(pem: Buffer, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new SignetError("USAGE", `${path}: expected a certificate in PEM, found something else`, { cause });
  }
}

function parseKey(pem: Buffer, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ec") return key;
  } catch {
    // OpenSSL's words may quote the input, so they are not repeated.
  }
  throw new SignetError("USAGE", `${path}: expected an EC private key in PEM without a passphrase`);
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
