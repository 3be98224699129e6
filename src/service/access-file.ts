import { createHash, randomBytes, X509Certificate } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { describeIssue } from "../config/index.ts";
import { fileError, SignetError } from "../errors.ts";
import { syncPathNow } from "../license/index.ts";
import { Secret } from "../telemetry/index.ts";
import type { CallLimits } from "./call-quotas.ts";

/**
 * The file of access: who may call, as what, by a token or by a client certificate. It holds hashes, so that reading
 * it grants nothing.
 */

export const roles = ["viewer", "client", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const limit = z.number().positive().max(1_000_000).nullable();

const tokenRecordShape = z.strictObject({
  id: z.string().regex(/^[a-z0-9]{8}$/),
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/,
      "expected at most 64 letters, digits and . _ @ -, a letter or digit first",
    ),
  role: z.enum(roles),
  services: z.union([z.literal("all"), z.array(z.string().min(1).max(128)).max(256)]),
  /** SHA-256 of the token's secret part, hex. A slow hash would add nothing to 256 random bits. */
  secretSha256: digest.optional(),
  /** Instead of a secret: SHA-256 of a client certificate's DER, hex. */
  certificateSha256: digest.optional(),
  /** Left out where there are none. */
  limits: z
    .strictObject({
      callsPerSecond: limit,
      burst: limit,
      concurrent: z.int().min(1).max(1_000_000).nullable(),
    })
    .optional(),
  createdAt: z.iso.datetime(),
  expires: z.iso.datetime().nullable(),
});
const tokenRecordSchema = tokenRecordShape.refine(
  ({ secretSha256, certificateSha256 }) => (secretSha256 === undefined) !== (certificateSha256 === undefined),
);
export type TokenRecord = Readonly<z.infer<typeof tokenRecordSchema>>;

const accessFileSchema = z.strictObject({ v: z.literal(1), tokens: z.array(tokenRecordSchema).max(10_000) });

export interface TokenGrant {
  readonly name: string;
  readonly role: Role;
  readonly services: "all" | readonly string[];
  readonly expires: Date | null;
  readonly limits?: CallLimits;
}

const LOCK_WAIT_MS = 2000;
const LOCK_RETRY_MS = 20;

/**
 * Makes a token. Its text exists only in the answer.
 * @throws USAGE, FILE_EXISTS, ACCESS_FILE_INVALID, FILE_UNREADABLE
 */
export async function addToken(file: string, grant: TokenGrant): Promise<{ token: Secret; record: TokenRecord }> {
  const secret = randomBytes(32).toString("base64url");
  const record = recordFromGrant(grant, { secretSha256: hashSecret(secret).toString("hex") });
  await changeFile(file, (tokens) => [...tokens, record]);
  return { token: new Secret(`sgn_${record.id}_${secret}`), record };
}

/**
 * Lets in who has the key of a client certificate, for at most as long as the certificate is valid.
 *
 * @param pem the certificate, without its key
 * @throws USAGE for what is no client certificate or is there already; as addToken
 */
export async function addCertificate(file: string, grant: TokenGrant, pem: Buffer): Promise<TokenRecord> {
  const certificate = parseCertificate(pem);
  const validUntil = certificate.validToDate;
  const expires = grant.expires !== null && grant.expires < validUntil ? grant.expires : validUntil;
  const certificateSha256 = createHash("sha256").update(certificate.raw).digest("hex");
  const record = recordFromGrant({ ...grant, expires }, { certificateSha256 });
  await changeFile(file, (tokens) => {
    const same = tokens.find((token) => token.certificateSha256 === certificateSha256);
    if (same) throw new SignetError("USAGE", `the certificate is in use already, as ${same.id} (${same.name})`);
    return [...tokens, record];
  });
  return record;
}

function parseCertificate(pem: Buffer): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new SignetError("USAGE", "expected a certificate in PEM, found something else", { cause });
  }
  if (certificate.ca) throw new SignetError("USAGE", "expected a client's certificate, found one of a CA");
  if (certificate.validToDate.getTime() <= Date.now()) {
    throw new SignetError("USAGE", `expected a certificate in its time, found one until ${certificate.validTo}`);
  }
  return certificate;
}

function recordFromGrant(
  grant: TokenGrant,
  proof: Pick<TokenRecord, "secretSha256" | "certificateSha256">,
): TokenRecord {
  const { callsPerSecond = null, burst = null, concurrent = null } = grant.limits ?? {};
  const isLimited = callsPerSecond !== null || concurrent !== null;
  const written = {
    id: randomId(),
    name: grant.name,
    role: grant.role,
    services: grant.services === "all" ? "all" : [...new Set(grant.services)],
    ...proof,
    ...(isLimited ? { limits: { callsPerSecond, burst, concurrent } } : {}),
    createdAt: new Date().toISOString(),
    expires: grant.expires?.toISOString() ?? null,
  };
  const candidate = tokenRecordSchema.safeParse(written);
  if (!candidate.success) {
    const { key, words } = describeIssue(candidate.error, written);
    throw new SignetError("USAGE", `the token's ${key}: ${words}`);
  }
  return candidate.data;
}

/** @throws USAGE where no token has that id */
export async function removeToken(file: string, id: string): Promise<TokenRecord> {
  let removed: TokenRecord | undefined;
  await changeFile(file, (tokens) => {
    removed = tokens.find((token) => token.id === id);
    if (removed === undefined)
      throw new SignetError("USAGE", `expected the id of a token in ${file}, found ${JSON.stringify(id)}`);
    return tokens.filter((token) => token !== removed);
  });
  return removed!;
}

/** The tokens of the file; none where there is no file yet. @throws ACCESS_FILE_INVALID, FILE_UNREADABLE */
export function readTokens(file: string): TokenRecord[] {
  let text: string;
  try {
    // Whoever can write this file can give themselves every right.
    const stats = statSync(file);
    // Reading a pipe would wait for ever.
    if (!stats.isFile()) throw new SignetError("CONFIG_INVALID", `${file}: expected a regular file`);
    const mode = stats.mode & 0o777;
    if ((mode & 0o077) !== 0) {
      const message = `${file}: expected permissions 600, as chmod 600 gives them, found ${mode.toString(8)}`;
      throw new SignetError("ACCESS_FILE_INVALID", message);
    }
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fileError(file, cause);
  }
  let written: unknown;
  try {
    written = JSON.parse(text);
  } catch (cause) {
    const message = `${file}: expected JSON written by \`signet access\`, found something else`;
    throw new SignetError("ACCESS_FILE_INVALID", message, { cause });
  }
  const parsed = accessFileSchema.safeParse(written);
  if (!parsed.success) {
    // What is written there is not repeated: it may be a secret in the wrong place.
    const { key, words } = describeIssue(parsed.error, written, { quote: false });
    throw new SignetError("ACCESS_FILE_INVALID", `${file}: ${key || "the file"}: ${words}`);
  }
  return parsed.data.tokens;
}

export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Eight characters without a bias: 256 - 256 % 36 = 252. */
function randomId(): string {
  const digits = "0123456789abcdefghijklmnopqrstuvwxyz";
  let id = "";
  while (id.length < 8) for (const byte of randomBytes(16)) if (byte < 252 && id.length < 8) id += digits[byte % 36];
  return id;
}

/**
 * Replaces the file as a whole. The new file is created exclusively before the old one is read, which makes
 * it the lock between two `signet access` at once, and a reader sees the old or the new file, never half of one.
 */
async function changeFile(file: string, change: (tokens: TokenRecord[]) => TokenRecord[]): Promise<void> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const next = `${file}.new`;
  const fd = await openExclusively(next);
  try {
    const tokens = change(readTokens(file));
    writeSync(fd, `${JSON.stringify({ v: 1, tokens }, null, 2)}\n`);
    fsyncSync(fd);
    renameSync(next, file);
  } catch (cause) {
    unlinkSync(next);
    throw cause;
  } finally {
    closeSync(fd);
  }
  // Or a power cut could bring a removed token back.
  syncPathNow(dirname(file));
}

async function openExclusively(next: string): Promise<number> {
  const deadline = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      return openSync(next, "wx", 0o600);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw fileError(next, cause);
      if (performance.now() > deadline) {
        throw new SignetError("FILE_EXISTS", `${next}: expected no other \`signet access\` at work, found its file`, {
          cause,
        });
      }
      await sleep(LOCK_RETRY_MS);
    }
  }
}
