import type { ArtifactStore } from "../../artifacts/index.ts";
import type { Store } from "../../store/index.ts";

/** An artifact that was put so recently may be about to be named by a job; longer than any call takes. */
const JUST_PUT_MS = 10 * 60_000;
/** How long what was uploaded waits for a job. */
const UNUSED_MS = 24 * 60 * 60_000;
const AT_A_TIME = 500;

/** Removes artifacts that no job needs any more, or ever needed. */
export class ArtifactCleaner {
  readonly #artifacts: ArtifactStore;
  readonly #store: Store;
  /** By digest, how many jobs are being submitted with it. */
  readonly #held = new Map<string, number>();

  constructor(artifacts: ArtifactStore, store: Store) {
    this.#artifacts = artifacts;
    this.#store = store;
  }

  /** From before it is looked for until its job is in the store, an artifact stays. @returns how to let go */
  hold(digests: readonly string[]): () => void {
    for (const sha256 of digests) this.#held.set(sha256, (this.#held.get(sha256) ?? 0) + 1);
    return () => {
      for (const sha256 of digests) {
        const left = this.#held.get(sha256)! - 1;
        if (left === 0) this.#held.delete(sha256);
        else this.#held.set(sha256, left);
      }
    };
  }

  /** Removes those that jobs left which are gone. @throws STORE_UNAVAILABLE */
  async clean(digests: readonly string[], putBeforeMs = Date.now() - JUST_PUT_MS): Promise<void> {
    for (let at = 0; at < digests.length; at += AT_A_TIME) {
      for (const sha256 of await this.#store.unused(digests.slice(at, at + AT_A_TIME))) {
        if (!this.#held.has(sha256)) await this.#artifacts.remove(sha256, putBeforeMs);
      }
    }
  }

  /** Removes those that were uploaded and no job came for. @throws STORE_UNAVAILABLE */
  async cleanUploads(): Promise<void> {
    const putBeforeMs = Date.now() - UNUSED_MS;
    let old: string[] = [];
    for await (const { sha256, putMs } of this.#artifacts.list()) {
      if (putMs < putBeforeMs) old.push(sha256);
      if (old.length < AT_A_TIME) continue;
      await this.clean(old, putBeforeMs);
      old = [];
    }
    await this.clean(old, putBeforeMs);
  }
}
