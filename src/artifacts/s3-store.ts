import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { SignetError } from "../errors.ts";
import type { Artifact, ArtifactPromise, ArtifactStore } from "./artifact-store.ts";
import { checkedRead } from "./checked-read.ts";
import { CheckedUpload, isDigest } from "./checked-upload.ts";
import { inParts } from "./in-parts.ts";
import type { S3Bucket, S3Object } from "./s3-bucket.ts";
import { isMissing, s3Error } from "./s3-error.ts";
import { S3MultipartUpload } from "./s3-upload.ts";

/** S3 wants 5 MiB at least and 10,000 parts at most: enough for 78 GiB, more than the configuration allows. */
const PART_BYTES = 8 * 2 ** 20;
const COPY_PART_BYTES = 128 * 2 ** 20;
/** Of one answer: a reader that is slow holds this, and no connection. */
const READ_BYTES = 2 * 2 ** 20;
/** No upload takes so long that is not given up. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;
/** S3 tells times in whole seconds, cut off. */
const TIME_STEP_MS = 999;

/**
 * Artifacts in a bucket, `ab/abcdef…` by their digest; many hosts may share it. What is small is put under its name at
 * once. What is larger is a multipart upload, which is completed when its digest is the promised one; where none was
 * promised it goes to `incoming/` and is copied to its name within the store. So nothing is ever seen in part, or under
 * a name that is not its own.
 */
export class S3Store implements ArtifactStore {
  readonly #bucket: S3Bucket;
  readonly #prefix: string;

  private constructor(bucket: S3Bucket, prefix: string) {
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /**
   * Makes sure that the bucket is there, and removes what servers that were killed left half.
   * @param prefix what its keys begin with
   * @param where the store, for the error
   * @param abandonedMs how long ago something must have begun to be taken for that
   * @throws STORE_UNAVAILABLE
   */
  static async open(bucket: S3Bucket, prefix: string, where: string, abandonedMs = ABANDONED_MS): Promise<S3Store> {
    const store = new S3Store(bucket, prefix);
    try {
      await store.#removeAbandoned(Date.now() - abandonedMs);
    } catch (error) {
      throw s3Error(error, where);
    }
    return store;
  }

  async put(source: AsyncIterable<Uint8Array>, maxBytes: number, promise?: ArtifactPromise): Promise<Artifact> {
    const checked = new CheckedUpload(maxBytes, promise);
    const known = promise?.sha256 ?? null;
    let upload: S3MultipartUpload | undefined;
    try {
      for await (const { bytes, isLast } of inParts(checkEach(source, checked), PART_BYTES)) {
        if (isLast && upload === undefined) {
          const artifact = checked.end();
          await onS3(this.#bucket.putObject(this.#key(artifact.sha256), bytes));
          return artifact;
        }
        upload ??= await onS3(
          S3MultipartUpload.begin(this.#bucket, known === null ? this.#draftKey() : this.#key(known)),
        );
        await onS3(upload.add(bytes));
      }
      const artifact = checked.end();
      await onS3(upload!.complete());
      if (known === null) await onS3(this.#publish(upload!.key, artifact));
      return artifact;
    } catch (error) {
      // What cannot be aborted now is abandoned, and removed at a later start.
      await upload?.abort().catch(() => undefined);
      throw error;
    }
  }

  async find(sha256: string): Promise<Artifact | undefined> {
    const bytes = (await this.#head(sha256))?.bytes;
    return bytes === undefined ? undefined : { sha256, bytes };
  }

  async read(sha256: string, range?: { readonly from: number; readonly bytes: number }): Promise<Readable> {
    const found = await this.#head(sha256);
    if (found === undefined) {
      throw new SignetError("ARTIFACT_NOT_FOUND", `artifact ${sha256.slice(0, 64)}: is not here`);
    }
    const from = range?.from ?? 0;
    const end = Math.min(found.bytes, from + (range?.bytes ?? found.bytes));
    const source = Readable.from(this.#pieces(found.key, from, end), { objectMode: false });
    return checkedRead(source, { sha256, bytes: Math.max(0, end - from), isRange: range !== undefined }, s3Error);
  }

  async remove(sha256: string, putBeforeMs?: number): Promise<void> {
    if (!isDigest(sha256)) return;
    if (putBeforeMs !== undefined) {
      const found = await this.#head(sha256);
      if (found === undefined || found.modifiedMs + TIME_STEP_MS >= putBeforeMs) return;
    }
    await onS3(this.#bucket.deleteObject(this.#key(sha256)));
  }

  async *list(): AsyncGenerator<Artifact & { readonly putMs: number }> {
    try {
      for await (const { key, bytes, modifiedMs } of this.#bucket.listObjects(this.#prefix)) {
        const sha256 = key.slice(-64);
        if (isDigest(sha256) && key === this.#key(sha256)) yield { sha256, bytes, putMs: modifiedMs + TIME_STEP_MS };
      }
    } catch (error) {
      throw s3Error(error);
    }
  }

  async #publish(draft: string, { sha256, bytes }: Artifact): Promise<void> {
    const copy = await S3MultipartUpload.begin(this.#bucket, this.#key(sha256));
    try {
      await copy.addCopy(draft, bytes, COPY_PART_BYTES);
      await copy.complete();
    } catch (error) {
      await copy.abort().catch(() => undefined);
      throw error;
    } finally {
      await this.#bucket.deleteObject(draft).catch(() => undefined);
    }
  }

  async *#pieces(key: string, from: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = from; at < end; at += READ_BYTES) {
      yield await this.#bucket.getRange(key, at, Math.min(at + READ_BYTES, end) - 1);
    }
  }

  async #head(sha256: string): Promise<S3Object | undefined> {
    if (!isDigest(sha256)) return undefined;
    try {
      return await this.#bucket.headObject(this.#key(sha256));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw s3Error(error);
    }
  }

  async #removeAbandoned(beforeMs: number): Promise<void> {
    const isOurs = (key: string) => isDigest(key.slice(-64)) && key === this.#key(key.slice(-64));
    const drafts = this.#draftKey("");
    for await (const { key, id, startedMs } of this.#bucket.listUploads(this.#prefix)) {
      if (startedMs >= beforeMs || !(isOurs(key) || key.startsWith(drafts))) continue;
      await this.#bucket.abortUpload(key, id).catch(unlessMissing);
    }
    for await (const { key, modifiedMs } of this.#bucket.listObjects(drafts)) {
      if (modifiedMs < beforeMs) await this.#bucket.deleteObject(key);
    }
  }

  /** @param sha256 must be a digest */
  #key(sha256: string): string {
    return `${this.#prefix}${sha256.slice(0, 2)}/${sha256}`;
  }

  #draftKey(name: string = randomUUID()): string {
    return `${this.#prefix}incoming/${name}`;
  }
}

async function* checkEach(source: AsyncIterable<Uint8Array>, checked: CheckedUpload): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    checked.add(piece);
    yield piece;
  }
}

/** Another host that starts may have been quicker. */
function unlessMissing(thrown: unknown): void {
  if (!isMissing(thrown)) throw thrown;
}

/** Tells what the store refuses from what a source fails with. */
async function onS3<T>(act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (error) {
    throw s3Error(error);
  }
}
