import { type Histogram, INDEX_OFFSET, SCHEMA } from "../telemetry/index.ts";

/** The bounds of classic buckets: powers of two from 122 us to 128 s, which are bounds of native buckets too. */
const MIN_EXPONENT = -13;
const MAX_EXPONENT = 7;
const exponents = Array.from({ length: MAX_EXPONENT - MIN_EXPONENT + 1 }, (_, index) => MIN_EXPONENT + index);

export interface ClassicBucket {
  readonly upperBoundSeconds: number;
  /** Of all up to that bound. */
  readonly cumulativeCount: number;
}

/** Few wide buckets with exact counts, for those who do not read native ones; the one without a bound is left out. */
export function classicBuckets({ counts }: Histogram): ClassicBucket[] {
  let place = 0;
  let cumulativeCount = 0;
  return exponents.map((exponent) => {
    const last = exponent * 2 ** SCHEMA - INDEX_OFFSET;
    for (; place <= last; place++) cumulativeCount += counts[place]!;
    return { upperBoundSeconds: 2 ** exponent, cumulativeCount };
  });
}

export interface NativeBuckets {
  readonly zeroCount: number;
  /** Runs of buckets, each so far behind the one before it; of the first, behind bucket 0. */
  readonly spans: readonly { readonly offset: number; readonly length: number }[];
  /** The count of each bucket in these runs, as the difference to the one before it. */
  readonly deltas: readonly number[];
}

export function nativeBuckets({ counts }: Histogram): NativeBuckets {
  const spans: { offset: number; length: number }[] = [];
  const deltas: number[] = [];
  let next = -INDEX_OFFSET; // the place that an offset of nothing would mean: bucket 0
  let previous = 0;
  for (let place = 1; place < counts.length; place++) {
    const count = counts[place]!;
    if (count === 0) continue;
    const span = spans.at(-1);
    if (span !== undefined && place === next) span.length++;
    else spans.push({ offset: place - next, length: 1 });
    deltas.push(count - previous);
    previous = count;
    next = place + 1;
  }
  // Without a span it could not be told from a classic histogram that nothing has happened in.
  if (spans.length === 0) spans.push({ offset: 0, length: 0 });
  return { zeroCount: counts[0]!, spans, deltas };
}
