import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import type { S3Settings } from "../config/index.ts";
import type { Secret } from "../telemetry/index.ts";

const CONNECT_TIMEOUT_MS = 5000;
/** Of silence; the copy of a part is the longest a store works without a word. */
const SILENCE_TIMEOUT_MS = 60_000;
const REQUEST_ATTEMPTS = 3;

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret | null;
}

export interface S3Object {
  readonly key: string;
  readonly bytes: number;
  /** In whole seconds, as S3 tells it. */
  readonly modifiedMs: number;
}

export interface S3Upload {
  readonly key: string;
  readonly id: string;
  readonly startedMs: number;
}

/** The requests to one bucket that artifacts need. They fail with whatever the client throws. */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor({ endpoint, region, bucket }: S3Settings, credentials: S3Credentials) {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    this.#bucket = bucket;
    this.#client = new S3Client({
      endpoint,
      region,
      credentials: {
        accessKeyId,
        secretAccessKey: secretAccessKey.reveal(),
        ...(sessionToken === null ? {} : { sessionToken: sessionToken.reveal() }),
      },
      // Stores other than Amazon's often have no host name for each bucket.
      forcePathStyle: true,
      // Bodies are signed by their SHA-256 anyway, and not every store knows Amazon's newer checksums.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      maxAttempts: REQUEST_ATTEMPTS,
      requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_TIMEOUT_MS, logger: silent },
      // What is left out here the client would look for in the environment and in ~/.aws.
      retryMode: "standard",
      defaultsMode: "standard",
      authSchemePreference: ["sigv4"],
      sigv4aSigningRegionSet: [region],
      disableS3ExpressSessionAuth: true,
      useArnRegion: false,
      useDualstackEndpoint: false,
      useFipsEndpoint: false,
      userAgentAppId: "signet",
    });
  }

  async putObject(key: string, body: Uint8Array): Promise<void> {
    await this.#client.send(new PutObjectCommand({ ...this.#at(key), Body: body }));
  }

  async headObject(key: string): Promise<S3Object> {
    const { ContentLength = 0, LastModified } = await this.#client.send(new HeadObjectCommand(this.#at(key)));
    return { key, bytes: ContentLength, modifiedMs: LastModified?.getTime() ?? 0 };
  }

  /** Bytes `from` to `to`, both included, or as many of them as there are. */
  async getRange(key: string, from: number, to: number): Promise<Uint8Array> {
    const answer = await this.#client.send(new GetObjectCommand({ ...this.#at(key), Range: `bytes=${from}-${to}` }));
    return (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
  }

  async deleteObject(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand(this.#at(key)));
  }

  async *listObjects(prefix: string): AsyncGenerator<S3Object> {
    const place = { Bucket: this.#bucket, Prefix: prefix };
    for (let next: string | undefined; ; ) {
      const page = await this.#client.send(new ListObjectsV2Command({ ...place, ContinuationToken: next }));
      for (const { Key = "", Size = 0, LastModified } of page.Contents ?? []) {
        yield { key: Key, bytes: Size, modifiedMs: LastModified?.getTime() ?? 0 };
      }
      // A proxy or another web server answers with a page, which the client takes for an empty list.
      if (page.Name === undefined) throw Object.assign(new Error("the list has no name"), { name: "NotS3" });
      next = page.NextContinuationToken;
      if (next === undefined) return;
    }
  }

  /** @returns the upload's id */
  async beginUpload(key: string): Promise<string> {
    const { UploadId = "" } = await this.#client.send(new CreateMultipartUploadCommand(this.#at(key)));
    return UploadId;
  }

  /** @param part from 1. @returns its ETag */
  async uploadPart(key: string, id: string, part: number, body: Uint8Array): Promise<string> {
    const place = { ...this.#at(key), UploadId: id, PartNumber: part };
    const { ETag = "" } = await this.#client.send(new UploadPartCommand({ ...place, Body: body }));
    return ETag;
  }

  /** Takes bytes `from` to `to`, both included, of another object as a part. @returns its ETag */
  async copyPart(key: string, id: string, part: number, source: string, from: number, to: number): Promise<string> {
    const place = { ...this.#at(key), UploadId: id, PartNumber: part };
    const range = { CopySource: `${this.#bucket}/${source}`, CopySourceRange: `bytes=${from}-${to}` };
    const { CopyPartResult } = await this.#client.send(new UploadPartCopyCommand({ ...place, ...range }));
    return CopyPartResult?.ETag ?? "";
  }

  /** The object is there from then on, whole. @param etags of its parts, in order */
  async completeUpload(key: string, id: string, etags: readonly string[]): Promise<void> {
    const Parts = etags.map((ETag, at) => ({ ETag, PartNumber: at + 1 }));
    const upload = { ...this.#at(key), UploadId: id, MultipartUpload: { Parts } };
    await this.#client.send(new CompleteMultipartUploadCommand(upload));
  }

  async abortUpload(key: string, id: string): Promise<void> {
    await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: id }));
  }

  async *listUploads(prefix: string): AsyncGenerator<S3Upload> {
    let after: { KeyMarker?: string; UploadIdMarker?: string } = {};
    for (;;) {
      const place = { Bucket: this.#bucket, Prefix: prefix, ...after };
      const page = await this.#client.send(new ListMultipartUploadsCommand(place));
      for (const { Key = "", UploadId = "", Initiated } of page.Uploads ?? []) {
        yield { key: Key, id: UploadId, startedMs: Initiated?.getTime() ?? 0 };
      }
      if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return;
      after = {
        KeyMarker: page.NextKeyMarker,
        ...(page.NextUploadIdMarker && { UploadIdMarker: page.NextUploadIdMarker }),
      };
    }
  }

  #at(key: string) {
    return { Bucket: this.#bucket, Key: key };
  }
}

/** The client would tell the terminal of busy sockets. */
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
