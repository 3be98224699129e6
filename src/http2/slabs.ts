/** Smaller buffers are as cheap new as used. */
export const MIN_SLAB_BYTES = 16 * 1024;
const MAX_SLAB_BYTES = 4 * 2 ** 20;
/** Free slabs that are kept, all sizes together. */
const MAX_FREE_BYTES = 64 * 2 ** 20;

const free = new Map<number, Buffer[]>();
let freeBytes = 0;

/**
 * A buffer of `bytes` or more that may have been used before, and has whatever was in it. Fresh memory costs more than
 * the copy that fills it: the kernel clears each page when it is first touched.
 */
export function takeSlab(bytes: number): Buffer {
  const size = bytes > MAX_SLAB_BYTES ? bytes : 2 ** Math.ceil(Math.log2(bytes));
  const slab = free.get(size)?.pop();
  if (slab === undefined) return Buffer.allocUnsafeSlow(size);
  freeBytes -= size;
  return slab;
}

/** Gives a slab back that nobody reads or writes any more. */
export function giveSlab(slab: Buffer): void {
  const { length } = slab;
  if (length > MAX_SLAB_BYTES || freeBytes + length > MAX_FREE_BYTES) return;
  const slabs = free.get(length) ?? [];
  slabs.push(slab);
  free.set(length, slabs);
  freeBytes += length;
}
