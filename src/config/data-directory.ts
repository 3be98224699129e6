import { statfsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { SignetError } from "../errors.ts";

/** Where everything that a host owns lies. Directories are made by whoever writes into them first. */
export interface DataDirectory {
  readonly root: string;
  /** The host's private key. */
  readonly hostDir: string;
  /** Pinned vendor roots. */
  readonly trustDir: string;
  /** The installed bundle: license.lic, license.conf, files/. */
  readonly licenseDir: string;
  /** Revocation lists of pinned vendors. */
  readonly revocationDir: string;
  readonly ledgerDir: string;
  /** The ledger's second anchor, away from the ledger so that restoring one directory does not restore both. */
  readonly ledgerAnchorFile: string;
  /** The audit log. */
  readonly auditDir: string;
  /** The audit log's second anchor, away from it like the ledger's. */
  readonly auditAnchorFile: string;
  readonly accessFile: string;
  readonly configFile: string;
  readonly runLogFile: string;
  /** What the server itself said. */
  readonly platformLogFile: string;
  /** What plugins printed, a file for each service. */
  readonly serviceLogsDir: string;
  /** Where `signet certs` puts the TLS certificates of this host. */
  readonly tlsDir: string;
  /** An empty home directory for each service's process. */
  readonly homesDir: string;
  /** Jobs that outlive their call: store.sqlite and artifacts/. */
  readonly jobsDir: string;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** undefined where the system has no user ids. */
  readonly uid: number | undefined;
  readonly home: string;
}

/**
 * The data directory: the --data flag, else SIGNET_DATA, else /var/lib/signet for root,
 * else $XDG_DATA_HOME/signet, else ~/.local/share/signet.
 * @throws FILE_UNREADABLE where it is below /proc
 */
export function dataDirectory(flag?: string, around: Surroundings = surroundings()): DataDirectory {
  const root = resolve(flag || around.env.SIGNET_DATA || defaultRoot(around));
  verifyCanHoldFiles(root);
  const hostDir = join(root, "host");
  return {
    root,
    hostDir,
    trustDir: join(root, "trust"),
    licenseDir: join(root, "license"),
    revocationDir: join(root, "revocation"),
    ledgerDir: join(root, "ledger"),
    ledgerAnchorFile: join(hostDir, "ledger-anchor.json"),
    auditDir: join(root, "audit"),
    auditAnchorFile: join(hostDir, "audit-anchor.json"),
    accessFile: join(root, "access.json"),
    configFile: join(root, "signet.yaml"),
    runLogFile: join(root, "log", "runs.jsonl"),
    platformLogFile: join(root, "log", "platform.jsonl"),
    serviceLogsDir: join(root, "log", "services"),
    tlsDir: join(root, "tls"),
    homesDir: join(root, "homes"),
    jobsDir: join(root, "jobs"),
  };
}

/** The kernel's number for /proc, from statfs(2). */
const PROC_SUPER_MAGIC = 0x9fa0;

/** Node's mkdirSync never ends where it is to make directories in /proc. */
function verifyCanHoldFiles(path: string): void {
  for (let at = path; ; at = dirname(at)) {
    try {
      if (statfsSync(at).type !== PROC_SUPER_MAGIC) return;
    } catch {
      if (at !== dirname(at)) continue; // not there, so the one above says
      return;
    }
    throw new SignetError("FILE_UNREADABLE", `${path}: expected a directory that can hold files, found one of /proc`);
  }
}

function defaultRoot({ env, uid, home }: Surroundings): string {
  if (uid === 0) return "/var/lib/signet";
  const xdg = env.XDG_DATA_HOME;
  // The XDG specification says that a relative path there must be ignored.
  return join(xdg?.startsWith("/") ? xdg : join(home, ".local", "share"), "signet");
}

function surroundings(): Surroundings {
  return { env: process.env, uid: process.getuid?.(), home: homedir() };
}
