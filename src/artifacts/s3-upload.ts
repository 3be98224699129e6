import type { S3Bucket } from "./s3-bucket.ts";

/** A multipart upload: nobody sees anything of it before it is complete. */
export class S3MultipartUpload {
  readonly #bucket: S3Bucket;
  readonly #key: string;
  readonly #id: string;
  readonly #etags: string[] = [];

  private constructor(bucket: S3Bucket, key: string, id: string) {
    this.#bucket = bucket;
    this.#key = key;
    this.#id = id;
  }

  static async begin(bucket: S3Bucket, key: string): Promise<S3MultipartUpload> {
    return new S3MultipartUpload(bucket, key, await bucket.beginUpload(key));
  }

  get key(): string {
    return this.#key;
  }

  async add(bytes: Uint8Array): Promise<void> {
    this.#etags.push(await this.#bucket.uploadPart(this.#key, this.#id, this.#etags.length + 1, bytes));
  }

  /** Adds a whole object of the bucket, in parts of at most so many bytes. */
  async addCopy(source: string, bytes: number, partBytes: number): Promise<void> {
    for (let from = 0; from < bytes; from += partBytes) {
      const to = Math.min(from + partBytes, bytes) - 1;
      const part = this.#etags.length + 1;
      this.#etags.push(await this.#bucket.copyPart(this.#key, this.#id, part, source, from, to));
    }
  }

  async complete(): Promise<void> {
    await this.#bucket.completeUpload(this.#key, this.#id, this.#etags);
  }

  async abort(): Promise<void> {
    await this.#bucket.abortUpload(this.#key, this.#id);
  }
}
