import { createHash, type X509Certificate } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { SignetError } from "../../src/errors.ts";
import {
  isSignature,
  keyIdOf,
  ledgerHeadSchema,
  licenseKinds,
  limitsSchema,
  parseDocument,
  payloadTypes,
  preAuthEncoding,
  replaceFile,
  verifyChain,
} from "../../src/license/index.ts";
import { lockExclusively } from "../../src/plugin/index.ts";
import type { Signer } from "./signer.ts";
import type { VendorCertificates } from "./vendor-directory.ts";

/**
 * The vendor's register of what it issued and withdrew: one line each,
 * `JSON TAB signer's key id TAB base64 signature LF`. Each line names the SHA-256 of the whole line before it and is
 * signed by an issuer or the root, so that nothing in it can be changed, dropped, added or moved, and it can be
 * verified without a secret, also after the keys have changed. A register cut at its end still holds together: note its
 * head elsewhere to notice that.
 */
export const REGISTER_FILE = "register.jsonl";

const MAX_REGISTER_BYTES = 256 * 1024 * 1024;
const NO_LINE = "0".repeat(64);
const LOCK_WAIT_MS = 60_000;
const LOCK_POLL_MS = 100;

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const instant = z.iso.datetime();

const issuedSchema = z.strictObject({
  event: z.literal("issued"),
  licenseId: z.uuid(),
  sequence: z.int().min(1),
  kind: z.enum(licenseKinds),
  customer: z.string(),
  requestId: z.uuid(),
  hostKeyId: sha256Hex,
  expires: instant,
  services: z.record(z.string(), limitsSchema),
  /** What the request quoted; null from a host that had used no license. */
  ledger: ledgerHeadSchema.nullable(),
  /** Why a ledger that went backwards was accepted; null where none did. */
  rollbackAccepted: z.string().nullable(),
  /** Whose place it takes; null for a license that was not moved here. */
  movedFrom: z.strictObject({ licenseId: z.uuid(), hostKeyId: sha256Hex, ledger: ledgerHeadSchema }).nullable(),
});

const withdrawnSchema = z.strictObject({
  event: z.literal("withdrawn"),
  /** The revocation list's number. */
  number: z.int().min(1),
  licenses: z.array(z.uuid()),
  issuers: z.array(sha256Hex),
  reason: z.string().nullable(),
});

const rotatedSchema = z.strictObject({ event: z.literal("rotated"), issuerKeyId: sha256Hex, expires: instant });

/** The next lines are from files that were left when the register was lost, with the times those name. */
const rebuiltSchema = z.strictObject({
  event: z.literal("rebuilt"),
  /** How many of them. */
  lines: z.int().min(0),
  /** No revocation list may have this number or a lower one. */
  revocationNumber: z.int().min(0),
  /** Licenses that were given back by receipts which were used. */
  moved: z.array(z.uuid()),
});

const place = { line: z.int().min(1), at: instant, previous: sha256Hex };
const lineSchema = z.discriminatedUnion("event", [
  issuedSchema.extend(place),
  withdrawnSchema.extend(place),
  rotatedSchema.extend(place),
  rebuiltSchema.extend(place),
]);

export type Issued = z.infer<typeof issuedSchema>;
export type Withdrawn = z.infer<typeof withdrawnSchema>;
export type RegisterEntry = Issued | Withdrawn | z.infer<typeof rotatedSchema> | z.infer<typeof rebuiltSchema>;
export type RegisterLine = z.infer<typeof lineSchema>;

export interface Register {
  readonly lines: readonly RegisterLine[];
  /** SHA-256 of the last line, hex; zeros where there is none. */
  readonly head: string;
}

/** Reads and verifies the whole register; empty where none was begun. @throws REGISTER_TAMPERED, FILE_UNREADABLE */
export async function readRegister(directory: string, vendor: VendorCertificates): Promise<Register> {
  const bytes = await readRegisterFile(directory);
  const signers = signersOf(vendor);
  const lines: RegisterLine[] = [];
  let head = NO_LINE;
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(0x0a, start);
    if (newline < 0) throw tampered(lines.length + 1, "expected a whole line, found the beginning of one");
    const line = readLine(bytes.subarray(start, newline), lines.length + 1, signers);
    if (line.previous !== head) throw tampered(lines.length + 1, "does not continue the line before it");
    head = createHash("sha256").update(bytes.subarray(start, newline)).digest("hex");
    lines.push(line);
    start = newline + 1;
  }
  return { lines, head };
}

/** Adds a line of this moment; see appendLines. */
export async function appendRegister(
  directory: string,
  register: Register,
  entry: RegisterEntry,
  signer: Signer,
  now: Date,
): Promise<Register> {
  return await appendLines(directory, register, [{ entry, at: now.toISOString() }], signer);
}

/**
 * Adds lines; to be called within `withRegisterLock`, with the register as read there. The file is replaced as a whole,
 * so a power cut leaves the old or the new one.
 */
export async function appendLines(
  directory: string,
  register: Register,
  entries: readonly { readonly entry: RegisterEntry; readonly at: string }[],
  signer: Signer,
): Promise<Register> {
  const lines = [...register.lines];
  let { head } = register;
  let text = (await readRegisterFile(directory)).toString("utf8");
  for (const { entry, at } of entries) {
    const line = { ...entry, line: lines.length + 1, at, previous: head };
    const json = JSON.stringify(line);
    const signature = await signer.sign(preAuthEncoding(payloadTypes.register, Buffer.from(json)));
    const signed = `${json}\t${keyIdOf(signer.publicKey)}\t${signature.toString("base64")}`;
    text += `${signed}\n`;
    head = createHash("sha256").update(signed).digest("hex");
    lines.push(line);
  }
  await replaceFile(join(directory, REGISTER_FILE), text, 0o600);
  return { lines, head };
}

/** One change of the register at a time: what is decided by it must still hold when it is written. */
export async function withRegisterLock<T>(directory: string, act: () => Promise<T>): Promise<T> {
  const handle = await open(directory, "r").catch((error: NodeJS.ErrnoException) => {
    throw new SignetError("FILE_UNREADABLE", `${directory}: ${error.code}`, { cause: error });
  });
  try {
    const until = performance.now() + LOCK_WAIT_MS;
    while (!lockExclusively(handle.fd)) {
      if (performance.now() > until) {
        throw new SignetError("FILE_UNREADABLE", `${directory}: another signet-license has been at work for a minute`);
      }
      await delay(LOCK_POLL_MS);
    }
    return await act();
  } finally {
    await handle.close();
  }
}

async function readRegisterFile(directory: string): Promise<Buffer> {
  const path = join(directory, REGISTER_FILE);
  try {
    const bytes = await readFile(path);
    if (bytes.length <= MAX_REGISTER_BYTES) return bytes;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return Buffer.alloc(0);
    throw new SignetError("FILE_UNREADABLE", `${path}: ${code}`, { cause: error });
  }
  throw new SignetError("FILE_UNREADABLE", `${path}: expected at most ${MAX_REGISTER_BYTES} bytes`);
}

/** The root, and every issuer that it vouches for: a certificate that somebody put beside them signs nothing. */
function signersOf({ root, issuers }: VendorCertificates): Map<string, X509Certificate> {
  const genuine = issuers.filter((issuer) => {
    try {
      verifyChain([issuer], [root]);
      return true;
    } catch {
      return false;
    }
  });
  return new Map([root, ...genuine].map((certificate) => [keyIdOf(certificate.publicKey), certificate]));
}

function readLine(bytes: Buffer, number: number, signers: ReadonlyMap<string, X509Certificate>): RegisterLine {
  const [json = "", keyId = "", signature = "", ...more] = bytes.toString("utf8").split("\t");
  const signer = signers.get(keyId);
  if (more.length > 0 || signer === undefined) throw tampered(number, "expected a line signed by this vendor");
  const signed = preAuthEncoding(payloadTypes.register, Buffer.from(json));
  const signatureBytes = Buffer.from(signature, "base64");
  // One spelling only, or a line could change without its signature noticing.
  const isWhole = signatureBytes.toString("base64") === signature && bytes.equals(Buffer.from(bytes.toString("utf8")));
  if (!isWhole || !isSignature(signed, signatureBytes, signer.publicKey)) {
    throw tampered(number, "the signature does not hold");
  }
  const line = parseDocument(lineSchema, Buffer.from(json), { what: `line ${number}`, code: "REGISTER_TAMPERED" });
  if (line.line !== number) throw tampered(number, `says that it is line ${line.line}`);
  return line;
}

function tampered(line: number, reason: string): SignetError {
  return new SignetError("REGISTER_TAMPERED", `${REGISTER_FILE}: line ${line}: ${reason}`);
}
