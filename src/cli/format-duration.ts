const units = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
] as const;

/** The two largest units that say something: `9 h 59 min`, `1 s 500 ms`, `0 s`. Rounded down. */
export function formatDuration(durationMs: number): string {
  let rest = Math.floor(durationMs);
  const first = units.findIndex(([, unitMs]) => rest >= unitMs);
  if (first < 0) return "0 s";
  const parts = units.slice(first, first + 2).map(([unit, unitMs]) => {
    const amount = Math.floor(rest / unitMs);
    rest -= amount * unitMs;
    return amount === 0 ? "" : `${amount} ${unit}`;
  });
  return parts.filter((part) => part !== "").join(" ");
}
