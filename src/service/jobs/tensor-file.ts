import { z } from "zod";
import { SignetError } from "../../errors.ts";
import { datatypeNames } from "../../tensor/index.ts";

/**
 * Tensors of a job as bytes that last: a header in JSON, preceded by its length (8 bytes, little-endian), then the bytes
 * of each tensor one after the other.
 */

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 16 * 1024 * 1024;

const tensorSchema = z.strictObject({
  name: z.string(),
  datatype: z.enum(datatypeNames),
  shape: z.array(z.int().nonnegative()),
  /** Of its data, which for an artifact is not in this file. */
  bytes: z.int().nonnegative(),
  /** Its digest, where the data is an artifact. */
  sha256: z.string().optional(),
  /** The largest elements were wanted instead of it. */
  classes: z.int().positive().optional(),
});

const headerSchema = z.strictObject({
  /** The client's own id for the request; may be empty. */
  requestId: z.string(),
  tensors: z.array(tensorSchema),
  /** Of a request: the outputs that are wanted, none for all. */
  wanted: z.array(z.strictObject({ name: z.string(), classes: z.int().nonnegative() })),
});

export type TensorEntry = Readonly<z.infer<typeof tensorSchema>>;
export type TensorFileHeader = Readonly<z.infer<typeof headerSchema>>;

/** The file in pieces. @param data of the tensors that are no artifacts, in order */
export function formatTensorFile(header: TensorFileHeader, data: readonly Uint8Array[]): Uint8Array[] {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(json.length));
  return [length, json, ...data];
}

/** How many bytes pieces have together. */
export function bytesOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/**
 * The header of a file, and where the bytes of the first tensor begin.
 * @throws STORE_UNUSABLE where it is none, because only what was written by `formatTensorFile` comes here
 */
export function parseTensorFile(file: Uint8Array): { readonly header: TensorFileHeader; readonly dataAt: number } {
  const view = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  try {
    const length = Number(view.readBigUInt64LE(0));
    if (length > MAX_HEADER_BYTES) throw new Error("its header is too long");
    const dataAt = LENGTH_BYTES + length;
    const header = headerSchema.parse(JSON.parse(view.subarray(LENGTH_BYTES, dataAt).toString("utf8")));
    return { header, dataAt };
  } catch (error) {
    throw new SignetError("STORE_UNUSABLE", "tensors of a job: expected what a server wrote, found other bytes", {
      cause: error,
    });
  }
}

/** Views of the tensors' bytes in a whole file; null for those that are artifacts. @throws STORE_UNUSABLE */
export function tensorData({ tensors }: TensorFileHeader, file: Uint8Array, dataAt: number): (Uint8Array | null)[] {
  let at = dataAt;
  return tensors.map(({ bytes, sha256 }) => {
    if (sha256 !== undefined) return null;
    at += bytes;
    if (at > file.byteLength) throw new SignetError("STORE_UNUSABLE", "tensors of a job: expected more bytes");
    return file.subarray(at - bytes, at);
  });
}
