import type { Datatype } from "./datatype.ts";

/** What a service says about one input or output. A dimension of -1 takes any size of 0 or more. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** A tensor with its bytes: little-endian, row-major; BYTES elements are length-prefixed. */
export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** The most dimensions a tensor may have; the plugin ABI's struct has room for as many. */
export const MAX_RANK = 8;

/** The number of elements of a concrete shape; 1 for a scalar's empty shape. NaN if it is not a safe integer. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return Number.isSafeInteger(count) ? count : Number.NaN;
}
