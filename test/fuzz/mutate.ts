import type { Random } from "../helpers/seeded-random.ts";

export interface MutationSource {
  readonly random: Random;
  /** Words that the product compares with. */
  readonly words: readonly string[];
  /** Another input that was worth keeping. */
  other(): Buffer;
}

/** A changed copy of an input. */
export type Mutator = (input: Buffer, source: MutationSource) => Buffer;

const interesting = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];

/** Changes bytes without knowing what they mean. */
export const mutateBytes: Mutator = (input, source) => {
  let bytes = input;
  for (let left = 1 + source.random.below(4); left > 0; left--) {
    bytes = source.random.pick(byteMutations)(bytes, source);
  }
  return bytes;
};

const splice = (bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);

const byteMutations: readonly Mutator[] = [
  flipBit,
  setByte,
  setInteger,
  (bytes, { random }) => splice(bytes, random.below(bytes.length), 1 + random.below(16), Buffer.alloc(0)),
  (bytes, { random }) => {
    const added = Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256)));
    return splice(bytes, random.below(bytes.length + 1), 0, added);
  },
  (bytes, { random, words }) => {
    const at = random.below(bytes.length + 1);
    const word = Buffer.from(words.length > 0 ? random.pick(words) : "");
    return splice(bytes, at, random.below(2) * word.length, word);
  },
  (bytes, { random }) => {
    const from = random.below(bytes.length);
    const part = bytes.subarray(from, from + 1 + random.below(64));
    return splice(bytes, random.below(bytes.length + 1), random.below(2) * part.length, part);
  },
  (bytes, { random, other }) => {
    const their = other();
    return Buffer.concat([
      bytes.subarray(0, random.below(bytes.length + 1)),
      their.subarray(random.below(their.length)),
    ]);
  },
  (bytes, { random }) => bytes.subarray(0, random.below(bytes.length + 1)),
  copyInteger,
];

function flipBit(input: Buffer, { random }: MutationSource): Buffer {
  const bytes = Buffer.from(input);
  if (bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
  return bytes;
}

function setByte(input: Buffer, { random }: MutationSource): Buffer {
  const bytes = Buffer.from(input);
  if (bytes.length > 0) bytes[random.below(bytes.length)] = random.pick(interesting) & 0xff || random.below(256);
  return bytes;
}

/** A number that is at the edge of something, 2, 4 or 8 bytes long. */
function setInteger(input: Buffer, { random }: MutationSource): Buffer {
  const size = random.pick([2, 4, 8]);
  const places = Math.floor(input.length / size);
  const at = random.below(2) === 0 ? random.below(input.length - size + 1) : random.below(places) * size;
  const value = BigInt(random.pick(interesting)) + BigInt(random.below(3) - 1);
  return writeInteger(Buffer.from(input), at, size, value);
}

/** A number from elsewhere, or one beside it: offsets and sizes point at each other. */
function copyInteger(input: Buffer, { random }: MutationSource): Buffer {
  if (input.length < 16) return Buffer.from(input);
  const places = Math.floor(input.length / 8);
  const value = input.readBigUInt64LE(random.below(places) * 8) + BigInt(random.below(33) - 16);
  return writeInteger(Buffer.from(input), random.below(places) * 8, 8, value);
}

function writeInteger(bytes: Buffer, at: number, size: number, value: bigint): Buffer {
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64LE(BigInt.asUintN(64, value));
  bytes.set(encoded.subarray(0, Math.max(0, Math.min(size, bytes.length - at))), at);
  return bytes;
}

/** Mostly one way of changing, sometimes plain bytes: what has the right form finds more, but not everything. */
export function mostly(structured: Mutator): Mutator {
  return (input, source) => (source.random.below(8) === 0 ? mutateBytes(input, source) : structured(input, source));
}
