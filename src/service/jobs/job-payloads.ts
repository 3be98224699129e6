import type { ArtifactStore } from "../../artifacts/index.ts";
import { SignetError } from "../../errors.ts";
import type { Payload } from "../../store/index.ts";
import { bytesOf } from "./tensor-file.ts";

/** More than this is a file of its own, so that the store's rows stay small. */
const MAX_INLINE_BYTES = 64 * 1024;

/** Room for the header of most. */
const FIRST_HEAD_BYTES = 64 * 1024;

/** Bytes of jobs: in their rows where they are few, else artifacts. */
export class JobPayloads {
  readonly #artifacts: ArtifactStore;
  readonly #maxBytes: number;

  /** @param maxBytes of one that is an artifact */
  constructor(artifacts: ArtifactStore, maxBytes: number) {
    this.#artifacts = artifacts;
    this.#maxBytes = maxBytes;
  }

  /** @throws ARTIFACT_TOO_LARGE, STORE_UNAVAILABLE */
  async keep(pieces: readonly Uint8Array[]): Promise<Payload> {
    if (bytesOf(pieces) <= MAX_INLINE_BYTES) return { inline: Buffer.concat(pieces) };
    return await this.#artifacts.put(oneByOne(pieces), this.#maxBytes);
  }

  /** All of it at once. @throws ARTIFACT_NOT_FOUND, STORE_UNAVAILABLE */
  async read(payload: Payload): Promise<Uint8Array> {
    if ("inline" in payload) return payload.inline;
    return await this.readArtifact(payload.sha256, payload.bytes);
  }

  /**
   * What its beginning says, of which only as much is read as that takes.
   * @param parse throws where it has too little
   */
  async head<Head>(payload: Payload, parse: (bytes: Uint8Array) => Head): Promise<Head> {
    if ("inline" in payload) return parse(payload.inline);
    for (let bytes = FIRST_HEAD_BYTES; ; bytes *= 16) {
      const isAll = bytes >= payload.bytes;
      const beginning = await this.#range(payload, 0, Math.min(bytes, payload.bytes));
      try {
        return parse(beginning);
      } catch (error) {
        if (isAll) throw error;
      }
    }
  }

  /** In pieces of at most so many bytes. @throws ARTIFACT_NOT_FOUND, STORE_UNAVAILABLE */
  async *stream(payload: Payload, from: number, pieceBytes: number): AsyncGenerator<Uint8Array> {
    const source =
      "inline" in payload
        ? [payload.inline.subarray(from)]
        : await this.#artifacts.read(payload.sha256, { from, bytes: payload.bytes - from });
    for await (const piece of source as AsyncIterable<Uint8Array>) {
      for (let at = 0; at < piece.byteLength; at += pieceBytes) yield piece.subarray(at, at + pieceBytes);
    }
  }

  /** An artifact of a size that is known. @throws ARTIFACT_NOT_FOUND, STORE_UNAVAILABLE */
  readArtifact(sha256: string, bytes: number): Promise<Uint8Array> {
    return this.#range({ sha256 }, 0, bytes);
  }

  async #range({ sha256 }: { readonly sha256: string }, from: number, bytes: number): Promise<Uint8Array> {
    const range = Buffer.allocUnsafeSlow(bytes);
    let at = 0;
    for await (const piece of await this.#artifacts.read(sha256, { from, bytes })) {
      at += (piece as Buffer).copy(range, at);
    }
    if (at === bytes) return range;
    throw new SignetError("STORE_UNAVAILABLE", `artifact ${sha256}: expected ${bytes} bytes, found ${at}`);
  }
}

async function* oneByOne(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
