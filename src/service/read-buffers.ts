/** Smaller ones are as cheap new as used. */
const MIN_KEPT_BYTES = 16 * 1024;
/** Free buffers that are kept, all together. */
const MAX_FREE_BYTES = 64 * 2 ** 20;

/**
 * Buffers that are used again. Fresh memory costs several times what is copied into it: the kernel clears each page when
 * it is first touched, and large buffers make V8 look for garbage.
 */
export class ReadBuffers {
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** A buffer of `bytes` or up to twice as many, with whatever was in it. */
  take(bytes: number): Buffer {
    const index = this.#free.findLastIndex(({ length }) => length >= bytes && length <= 2 * bytes);
    if (index < 0) return Buffer.allocUnsafeSlow(bytes);
    const [buffer] = this.#free.splice(index, 1);
    this.#freeBytes -= buffer!.length;
    return buffer!;
  }

  /** Takes back a buffer that nobody reads any more; those that have lain unused for longest make room. */
  give(buffer: Buffer): void {
    if (buffer.length < MIN_KEPT_BYTES || buffer.length > MAX_FREE_BYTES) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.length;
    while (this.#freeBytes > MAX_FREE_BYTES) this.#freeBytes -= this.#free.shift()!.length;
  }
}
