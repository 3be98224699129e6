import type { Readable } from "node:stream";

/** Some bytes and their name: the SHA-256 of them, 64 hex digits. */
export interface Artifact {
  readonly sha256: string;
  readonly bytes: number;
}

/** What an artifact is said to be before it is there; null where that is not known yet. */
export interface ArtifactPromise {
  readonly sha256: string | null;
  readonly bytes: number | null;
}

/**
 * Files of jobs, by their digest. What is there is whole and never changes. Bytes go through in pieces and are never
 * whole in memory. Who may see what is decided elsewhere.
 */
export interface ArtifactStore {
  /**
   * Keeps what comes, once however often it comes. When it resolves, the bytes are on disk.
   * @throws ARTIFACT_TOO_LARGE as soon as it is more than `maxBytes`; ARTIFACT_MISMATCH where it is not what was
   * promised; STORE_UNAVAILABLE; and what the source fails with. Nothing is kept then.
   */
  put(source: AsyncIterable<Uint8Array>, maxBytes: number, promise?: ArtifactPromise): Promise<Artifact>;
  /** undefined where there is none. @throws STORE_UNAVAILABLE */
  find(sha256: string): Promise<Artifact | undefined>;
  /**
   * Its bytes, or as many of a range as there are. The stream of the whole ends with STORE_UNUSABLE where these are not
   * the bytes that it is named after, and either with STORE_UNAVAILABLE where they cannot be read to their end.
   * @throws ARTIFACT_NOT_FOUND, STORE_UNAVAILABLE
   */
  read(sha256: string, range?: { readonly from: number; readonly bytes: number }): Promise<Readable>;
  /**
   * It may be gone already.
   * @param putBeforeMs leaves it where it was put again since then, so that cleaning up takes nothing that just came
   * @throws STORE_UNAVAILABLE
   */
  remove(sha256: string, putBeforeMs?: number): Promise<void>;
  /** All there are, and when they were put last, ms since 1970. @throws STORE_UNAVAILABLE */
  list(): AsyncIterable<Artifact & { readonly putMs: number }>;
}
