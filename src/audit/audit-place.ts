import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../errors.ts";

export interface AuditPlace {
  /** Holds audit.jsonl, anchor.json and archive/; made with mode 0700 if need be. */
  readonly directory: string;
  /** The second anchor: outside `directory`. */
  readonly anchorFile: string;
  /** 32 secret bytes. Who has them can write any log. */
  readonly key: Uint8Array;
  /** Whether this host has had a usage ledger: a log that begins only then is not the first. */
  readonly isOldHost: boolean;
  /** Takes an exclusive advisory lock (flock) on an open file, without waiting; false when another has it. */
  lock(fd: number): boolean;
  /** Size at which a segment is closed. Default 8 MiB. */
  readonly segmentBytes?: number;
}

export const SEGMENT_NAME = "audit.jsonl";

export interface AuditFiles {
  readonly segment: string;
  readonly archive: string;
  readonly anchors: readonly [string, string];
  readonly logKey: KeyObject;
  readonly anchorKey: KeyObject;
}

export function auditFiles(place: AuditPlace): AuditFiles {
  const derive = (purpose: string) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", place.key, "", `signet/audit/${purpose}/v1`, 32)));
  return {
    segment: join(place.directory, SEGMENT_NAME),
    archive: join(place.directory, "archive"),
    anchors: [join(place.directory, "anchor.json"), place.anchorFile],
    logKey: derive("log"),
    anchorKey: derive("anchor"),
  };
}

const LOCK_RETRY_MS = 10;
/** Writing takes milliseconds and verifying a segment a fraction of a second; who waits longer waits for a fault. */
const LOCK_WAIT_MS = 10_000;

/**
 * Runs `act` while nobody else writes or verifies the log. Server and commands alike hold the lock for one append
 * only, so each waits for the other and none keeps the other out.
 *
 * @throws AUDIT_UNWRITABLE, what `act` throws
 */
export async function withAuditLock<T>(place: AuditPlace, act: () => T): Promise<T> {
  const fd = openDirectory(place.directory);
  try {
    const deadlineMs = performance.now() + LOCK_WAIT_MS;
    while (!place.lock(fd)) {
      if (performance.now() > deadlineMs) {
        throw new SignetError("AUDIT_UNWRITABLE", `${place.directory}: another process does not let go of the log`);
      }
      await sleep(LOCK_RETRY_MS);
    }
    return act();
  } finally {
    closeSync(fd);
  }
}

function openDirectory(path: string): number {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw unwritable(path, error);
  }
}

export function unwritable(path: string, error: unknown): SignetError {
  if (error instanceof SignetError) return error;
  const reason = (error as NodeJS.ErrnoException).code ?? "no reason given";
  return new SignetError("AUDIT_UNWRITABLE", `${path}: the audit log could not be written (${reason})`, {
    cause: error,
  });
}
