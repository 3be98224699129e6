import { timingSafeEqual } from "node:crypto";
import { statSync } from "node:fs";
import { SignetError } from "../errors.ts";
import type { Log } from "../telemetry/index.ts";
import { hashSecret, type Role, readTokens, type TokenRecord } from "./access-file.ts";
import { type CallLimits, noLimits } from "./call-quotas.ts";

/**
 * What a call does. ServerLive, ServerReady and health need no identity and so no action. `share` is to lend the
 * server shared memory.
 */
export type Action = "metadata" | "share" | "infer" | "operate" | "administer";

/** Each role may do what the one before it may, and more. */
const actionsByRole: Readonly<Record<Role, readonly Action[]>> = {
  viewer: ["metadata"],
  client: ["metadata", "share", "infer"],
  operator: ["metadata", "share", "infer", "operate"],
  admin: ["metadata", "share", "infer", "operate", "administer"],
};

/** Who calls. Only authenticate() makes one. */
export interface Identity {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly limits: CallLimits;
  /**
   * Passes where the caller may do this; `service` names the one it concerns, and none is named where it concerns the
   * server as a whole. Grants per service limit infer and operate, which then need a service; metadata and share they
   * do not concern, and an admin has every service.
   * @throws PERMISSION_DENIED
   */
  require(action: Action, service?: string): void;
}

export interface Access {
  /**
   * A token decides where there is one, and else the connection's certificate.
   *
   * @param authorization the request's header, as it came
   * @param certificate gives the SHA-256 of the client's certificate, hex, once TLS has verified it
   * @throws UNAUTHENTICATED
   */
  authenticate(authorization: string | undefined, certificate?: () => string | undefined): Identity;
}

export interface AccessOptions {
  readonly file: string;
  readonly log: Log;
  readonly clock?: AccessClock;
}

export interface AccessClock {
  wallMs(): number;
  monotonicMs(): number;
}

const systemClock: AccessClock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

/** A removed token works for at most this long. */
export const RECHECK_MS = 1000;
/**
 * Where a token is not known the file is looked at sooner, so that a new one works at once; but no more often than
 * this, so that whoever guesses tokens costs no more than a look now and then.
 */
export const RECHECK_UNKNOWN_MS = 100;

const unknownSecret = Buffer.alloc(32);
/** Headers whose token was found to be right are remembered, as many as there may be clients at work. */
const MAX_PROVEN = 1024;
const MAX_PROVEN_LENGTH = 128;

interface Holder {
  readonly identity: Identity;
  /** null where a certificate is the proof. */
  readonly secretHash: Buffer | null;
  readonly expiresMs: number;
}

interface Holders {
  readonly byId: ReadonlyMap<string, Holder>;
  readonly byCertificate: ReadonlyMap<string, Holder>;
}

/** @throws ACCESS_FILE_INVALID, FILE_UNREADABLE where the file is there but not usable */
export function openAccess({ file, log, clock = systemClock }: AccessOptions): Access {
  let version = fileVersion(file);
  let holders = loadHolders(file);
  let checkedAtMs = clock.monotonicMs();
  /**
   * Whole headers that were right, until the file changes: hashing one again costs more than the rest of the gate. Only
   * who has a right one gets something remembered, and a lookup compares whole strings of the same seeded hash, so its
   * time tells nothing of a token that is nearly right.
   */
  const proven = new Map<string, Holder>();

  /** Reads the file again if it changed and was not looked at for so long. */
  function refresh(afterMs: number): void {
    const now = clock.monotonicMs();
    if (now - checkedAtMs < afterMs) return;
    checkedAtMs = now;
    const found = fileVersion(file);
    if (found === version) return;
    version = found;
    proven.clear();
    try {
      holders = loadHolders(file);
      log.info({ file, tokens: holders.byId.size }, "access tokens loaded");
    } catch (error) {
      // Closed rather than stale: the change that cannot be read may be a removal.
      holders = { byId: new Map(), byCertificate: new Map() };
      log.error({ err: error, file }, "the access tokens cannot be read; every call is refused until they can");
    }
  }

  return {
    authenticate(authorization, certificate) {
      refresh(RECHECK_MS);
      if (authorization === undefined) {
        const fingerprint = certificate?.();
        if (fingerprint !== undefined) return inTime(holders.byCertificate.get(fingerprint), "certificate");
      }
      const known = proven.get(authorization ?? "");
      if (known !== undefined) return inTime(known, "token");
      const match = /^[Bb]earer +sgn_([a-z0-9]{8})_([A-Za-z0-9_-]{43})$/.exec(authorization ?? "");
      if (match === null) {
        const found = authorization === undefined ? "none" : "something else";
        throw new SignetError("UNAUTHENTICATED", `authorization: expected \`Bearer TOKEN\`, found ${found}`);
      }
      if (!holders.byId.has(match[1]!)) refresh(RECHECK_UNKNOWN_MS);
      const holder = holders.byId.get(match[1]!);
      const matches = timingSafeEqual(hashSecret(match[2]!), holder?.secretHash ?? unknownSecret);
      const identity = inTime(matches ? holder : undefined, "token");
      if (proven.size < MAX_PROVEN && authorization!.length <= MAX_PROVEN_LENGTH) proven.set(authorization!, holder!);
      return identity;
    },
  };

  function inTime(holder: Holder | undefined, what: string): Identity {
    if (holder === undefined) {
      throw new SignetError("UNAUTHENTICATED", `expected a ${what} that is in use here, found another`);
    }
    if (clock.wallMs() >= holder.expiresMs) {
      throw new SignetError("UNAUTHENTICATED", `expected a ${what} in its time, found one that has expired`);
    }
    return holder.identity;
  }
}

function loadHolders(file: string): Holders {
  const byId = new Map<string, Holder>();
  const byCertificate = new Map<string, Holder>();
  for (const record of readTokens(file)) {
    const holder = {
      identity: identityOf(record),
      secretHash: record.secretSha256 === undefined ? null : Buffer.from(record.secretSha256, "hex"),
      expiresMs: record.expires === null ? Number.POSITIVE_INFINITY : Date.parse(record.expires),
    };
    byId.set(record.id, holder);
    if (record.certificateSha256 !== undefined) byCertificate.set(record.certificateSha256, holder);
  }
  return { byId, byCertificate };
}

function identityOf({ id, name, role, services, limits = noLimits }: TokenRecord): Identity {
  return Object.freeze({
    id,
    name,
    role,
    limits,
    require(action: Action, service?: string) {
      if (!actionsByRole[role].includes(action)) {
        throw new SignetError("PERMISSION_DENIED", `token ${name}: expected a role that may ${action}, found ${role}`);
      }
      const isLimited = action !== "metadata" && action !== "share" && role !== "admin" && services !== "all";
      if (isLimited && (service === undefined || !services.includes(service))) {
        throw new SignetError("PERMISSION_DENIED", `token ${name}: expected a grant for the service, found none`);
      }
    },
  });
}

/**
 * Changes whenever the file does; a rename, as addToken and removeToken do it, changes the inode. A file that cannot
 * be looked at any more is another version too, which readTokens then refuses.
 */
function fileVersion(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown error";
  }
}
