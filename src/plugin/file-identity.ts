import { type BigIntStats, statSync } from "node:fs";

/** What the kernel says about a file on disk at one moment; any write to the file changes it. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export function identityOf(stats: BigIntStats): FileIdentity {
  return { dev: stats.dev, ino: stats.ino, size: stats.size, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs };
}

/** True if the path still names the same unchanged file. About 2 µs. */
export function isUnchanged(path: string, identity: FileIdentity): boolean {
  const now = statSync(path, { bigint: true, throwIfNoEntry: false });
  return (
    now !== undefined &&
    now.ino === identity.ino &&
    now.ctimeNs === identity.ctimeNs &&
    now.mtimeNs === identity.mtimeNs &&
    now.size === identity.size &&
    now.dev === identity.dev
  );
}
