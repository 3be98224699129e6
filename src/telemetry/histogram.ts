/**
 * Buckets as Prometheus' native histograms have them: each power of two of seconds is cut into 2^SCHEMA buckets, so that
 * a bucket is 9 % wide, wherever it is. Bucket i holds what is above 2^((i-1)/8) s and at most 2^(i/8) s.
 */
export const SCHEMA = 3;
const PER_OCTAVE = 2 ** SCHEMA;
/** Up to a microsecond everything counts as nothing; from 36 hours on everything as 36 hours. */
const MIN_EXPONENT = -20;
const MAX_EXPONENT = 17;
export const ZERO_THRESHOLD_SECONDS = 2 ** MIN_EXPONENT;
const MAX_SECONDS = 2 ** MAX_EXPONENT;
/** The bucket below the first of `counts`. */
export const INDEX_OFFSET = MIN_EXPONENT * PER_OCTAVE;
const LENGTH = (MAX_EXPONENT - MIN_EXPONENT) * PER_OCTAVE + 1;

/** Upper bounds of the buckets within one power of two. */
const bounds = Float64Array.from({ length: PER_OCTAVE + 1 }, (_, index) => 2 ** (index / PER_OCTAVE));
/** By the first byte of a mantissa: the bucket of the smallest number with it. No bucket is narrower than such a cell. */
const CELL_BITS = 8;
const cells = Uint8Array.from({ length: 2 ** CELL_BITS }, (_, cell) =>
  bounds.findIndex((bound) => 1 + cell / 2 ** CELL_BITS <= bound),
);

/** A double and its bits; both of our processors are little-endian. */
const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const MANTISSA_BITS = 20; // of the upper word
const BIAS = 1023;

/**
 * How often something happened and how long it took, by native buckets. `record` takes the same few nanoseconds for every
 * duration and allocates nothing; everything else is done by who reads.
 */
export class Histogram {
  count = 0;
  ns = 0;
  /** The first is the zero bucket, up to ZERO_THRESHOLD_SECONDS; the one at i is bucket i + INDEX_OFFSET. */
  readonly counts = new Float64Array(LENGTH);

  /** What is no duration counts as none, so that it cannot spoil the sum. */
  record(ms: number): void {
    const durationMs = ms > 0 ? ms : 0;
    this.count++;
    this.ns += Math.round(durationMs * 1e6);
    this.counts[placeOf(durationMs / 1000)]!++;
  }
}

function placeOf(seconds: number): number {
  if (seconds <= ZERO_THRESHOLD_SECONDS) return 0;
  if (seconds >= MAX_SECONDS) return LENGTH - 1;
  double[0] = seconds;
  const high = words[1]!;
  const exponent = (high >>> MANTISSA_BITS) - BIAS;
  const cell = cells[(high >>> (MANTISSA_BITS - CELL_BITS)) & (2 ** CELL_BITS - 1)]!;
  words[1] = (high & (2 ** MANTISSA_BITS - 1)) | (BIAS << MANTISSA_BITS); // the number without its exponent, from 1 to 2
  const bucket = double[0]! > bounds[cell]! ? cell + 1 : cell;
  return (exponent - MIN_EXPONENT) * PER_OCTAVE + bucket;
}
