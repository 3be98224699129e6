const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

/** What `parseDuration` takes, for messages. */
export const durationExamples = "a duration such as 500ms, 30s, 10m, 2h or 7d";

/** `500ms`, `30s`, `10m`, `2h` or `7d` in ms; null for what is none. A bare number says nothing about its unit. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * units[match[2] as keyof typeof units];
  return Number.isSafeInteger(ms) && ms > 0 ? ms : null;
}
