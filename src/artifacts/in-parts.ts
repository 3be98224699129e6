/** A part of what goes into a store, as large as was asked for unless it is the last. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

/**
 * Cuts pieces of any size into parts; at least one, which may be empty. Of the source it takes no more than the part
 * that is on its way and the piece after it, which tells whether that part is the last.
 */
export async function* inParts(source: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Part> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of source) {
    for (let rest = piece; rest.byteLength > 0; ) {
      if (bytes === partBytes) {
        yield { bytes: Buffer.concat(waiting), isLast: false };
        waiting = [];
        bytes = 0;
      }
      const taken = rest.subarray(0, partBytes - bytes);
      waiting.push(taken);
      bytes += taken.byteLength;
      rest = rest.subarray(taken.byteLength);
    }
  }
  yield { bytes: Buffer.concat(waiting), isLast: true };
}
