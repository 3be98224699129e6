/** What performance.now() counts from, on CLOCK_MONOTONIC, which plugins read. */
const originNs = Number(process.hrtime.bigint()) - performance.now() * 1e6;

/** A time of performance.now() on CLOCK_MONOTONIC. 0 for never. */
export function monotonicNs(ms: number): number {
  return Number.isFinite(ms) ? Math.max(1, Math.round(originNs + ms * 1e6)) : 0;
}
