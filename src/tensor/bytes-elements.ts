import { SignetError } from "../errors.ts";

/** Lays BYTES elements out as a tensor's data: each a little-endian uint32 length, then the bytes. */
export function encodeBytesElements(elements: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const element of elements) size += 4 + element.byteLength;
  const data = Buffer.allocUnsafe(size);
  let offset = 0;
  for (const element of elements) {
    data.writeUInt32LE(element.byteLength, offset);
    data.set(element, offset + 4);
    offset += 4 + element.byteLength;
  }
  return data;
}

/**
 * The elements of a BYTES tensor's data, as views of it.
 * @throws REQUEST_MALFORMED where a length overruns the data.
 */
export function decodeBytesElements(data: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = [];
  walkBytesElements(data, (start, end) => elements.push(data.subarray(start, end)));
  return elements;
}

/** How many elements the data of a BYTES tensor holds. @throws REQUEST_MALFORMED where a length overruns the data. */
export function countBytesElements(data: Uint8Array): number {
  let count = 0;
  walkBytesElements(data, () => {
    count += 1;
  });
  return count;
}

function walkBytesElements(data: Uint8Array, visit: (start: number, end: number) => void): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  let index = 0;
  while (offset < data.byteLength) {
    const start = offset + 4;
    const end = start <= data.byteLength ? start + view.getUint32(offset, true) : start;
    if (end > data.byteLength) {
      throw new SignetError(
        "REQUEST_MALFORMED",
        `BYTES element ${index}: expected a uint32 length and as many bytes, found only ${data.byteLength - offset} bytes`,
      );
    }
    visit(start, end);
    offset = end;
    index += 1;
  }
}
