import { createHash } from "node:crypto";
import { SignetError } from "../errors.ts";
import type { Artifact, ArtifactPromise } from "./artifact-store.ts";

const NOTHING_PROMISED: ArtifactPromise = { sha256: null, bytes: null };

/** Whether a text can be the name of an artifact. Nothing else may become a part of a path or a key. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Bytes on their way into a store, held against what may come and what was promised. */
export class CheckedUpload {
  readonly #hash = createHash("sha256");
  readonly #maxBytes: number;
  readonly #promise: ArtifactPromise;
  #bytes = 0;

  /** @throws ARTIFACT_TOO_LARGE, ARTIFACT_MISMATCH where the promise is such that nothing needs to come */
  constructor(maxBytes: number, promise = NOTHING_PROMISED) {
    this.#maxBytes = maxBytes;
    this.#promise = promise;
    if (promise.bytes !== null && promise.bytes > maxBytes) throw this.#tooLarge();
    if (promise.sha256 !== null && !isDigest(promise.sha256)) {
      throw new SignetError("ARTIFACT_MISMATCH", "artifact: expected a SHA-256 of 64 hex digits, found something else");
    }
  }

  /** @throws ARTIFACT_TOO_LARGE, ARTIFACT_MISMATCH */
  add(piece: Uint8Array): void {
    this.#bytes += piece.byteLength;
    if (this.#bytes > this.#maxBytes) throw this.#tooLarge();
    const { bytes } = this.#promise;
    if (bytes !== null && this.#bytes > bytes) {
      throw new SignetError("ARTIFACT_MISMATCH", `artifact: expected ${bytes} bytes, found more`);
    }
    this.#hash.update(piece);
  }

  /** When all has come. @throws ARTIFACT_MISMATCH */
  end(): Artifact {
    const { sha256, bytes } = this.#promise;
    if (bytes !== null && this.#bytes < bytes) {
      throw new SignetError("ARTIFACT_MISMATCH", `artifact: expected ${bytes} bytes, found ${this.#bytes}`);
    }
    const found = this.#hash.digest("hex");
    if (sha256 !== null && found !== sha256) {
      throw new SignetError("ARTIFACT_MISMATCH", `artifact: expected SHA-256 ${sha256}, found ${found}`);
    }
    return { sha256: found, bytes: this.#bytes };
  }

  #tooLarge(): SignetError {
    return new SignetError("ARTIFACT_TOO_LARGE", `artifact: expected at most ${this.#maxBytes} bytes, found more`);
  }
}
