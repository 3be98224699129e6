import { ProcessingError } from "./errors.ts";

/** A tensor as the v2 protocol carries it: little-endian, row-major bytes. The server's own type fits it. */
export interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * The elements of an FP32 tensor, without a copy where the bytes are aligned.
 * Throws OUTPUT_INVALID where datatype, shape and bytes do not agree.
 */
export function fp32Elements(tensor: Tensor): Float32Array {
  if (tensor.datatype !== "FP32") {
    throw new ProcessingError("OUTPUT_INVALID", `${tensor.name}: expected FP32, got ${tensor.datatype}`);
  }
  const count = tensor.shape.reduce((product, dimension) => product * dimension, 1);
  if (!Number.isSafeInteger(count) || count < 0 || tensor.data.byteLength !== count * 4) {
    const shape = `[${tensor.shape.join(",")}]`;
    throw new ProcessingError(
      "OUTPUT_INVALID",
      `${tensor.name}: expected 4 bytes for each element of ${shape}, got ${tensor.data.byteLength} bytes`,
    );
  }
  // A slice of a received message starts anywhere; a Float32Array must start at a multiple of 4.
  const bytes = tensor.data.byteOffset % 4 === 0 ? tensor.data : new Uint8Array(tensor.data);
  return new Float32Array(bytes.buffer, bytes.byteOffset, count);
}
